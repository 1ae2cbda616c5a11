"""Passwords: hashing, storage and policy."""
