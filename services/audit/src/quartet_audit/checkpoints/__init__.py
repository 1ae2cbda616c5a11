"""Checkpoints of the trees: notes, signatures and signing keys."""
