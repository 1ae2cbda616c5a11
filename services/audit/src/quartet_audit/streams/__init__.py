"""Streams of entries to receivers, and the live tail."""
