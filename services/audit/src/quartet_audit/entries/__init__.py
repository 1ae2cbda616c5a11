"""Entries: appended from events, read, searched and counted."""
