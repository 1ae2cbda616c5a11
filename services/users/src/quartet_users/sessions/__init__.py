"""Sessions of logins and their tokens."""
