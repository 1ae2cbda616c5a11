"""Logins of people: passwords, the lock-out, sessions and their refresh tokens."""
