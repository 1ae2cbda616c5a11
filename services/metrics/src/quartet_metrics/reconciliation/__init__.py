"""Compares gauges with what users, groups and audit have, and corrects them."""
