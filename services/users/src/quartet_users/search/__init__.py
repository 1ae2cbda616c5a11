"""Searches over users and groups."""
