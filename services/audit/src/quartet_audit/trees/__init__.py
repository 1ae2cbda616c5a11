"""Merkle trees: tiles, roots and their rows."""
