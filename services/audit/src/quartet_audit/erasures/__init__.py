"""Erasure of persons."""
