"""Memberships: what the users service knows of a user's groups."""
