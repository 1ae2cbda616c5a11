"""Blueprints that every service has."""
