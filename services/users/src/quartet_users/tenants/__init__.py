"""Tenants: made, suspended, resumed and deleted."""
