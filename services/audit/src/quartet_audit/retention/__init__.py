"""Retention and legal holds."""
