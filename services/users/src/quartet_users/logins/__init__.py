"""Logins of people: names and passwords, sessions and their refresh tokens."""
