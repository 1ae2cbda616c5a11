"""Tokens: how they are signed, given, told of and ended, and the keys that sign them."""
