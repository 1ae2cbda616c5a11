"""Fixtures and helpers of Quartet's own tests."""
