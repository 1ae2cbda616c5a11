"""Tokens: how they are signed, given, introspected and ended, and the keys that sign them."""
