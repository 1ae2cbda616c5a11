"""Passwords: how they are hashed, and which ones are good enough."""
