"""Imports what `/metrics/data/export` has exported."""
