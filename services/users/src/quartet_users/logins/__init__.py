"""Logins of users by name and password, and changes of passwords."""
