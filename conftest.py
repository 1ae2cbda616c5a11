"""What all tests share: the fixtures of libs/testing, and the profiles of hypothesis, which time no test."""

from hypothesis import settings

pytest_plugins = ["quartet_testing.plugin"]

settings.register_profile("untimed", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("untimed")
