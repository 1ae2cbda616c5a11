"""Sessions of users and their tokens."""
