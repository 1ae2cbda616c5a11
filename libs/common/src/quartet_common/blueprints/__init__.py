"""Blueprints that every service mounts under its own prefix."""
