"""What all tests share: the fixtures of libs/testing, and that no test is timed."""

from hypothesis import settings

pytest_plugins = ["quartet_testing.plugin"]

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
