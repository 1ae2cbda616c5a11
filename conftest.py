"""What all tests share: the fixtures of libs/testing."""

pytest_plugins = ["quartet_testing.plugin"]
