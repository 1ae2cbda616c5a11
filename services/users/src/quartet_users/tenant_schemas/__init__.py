"""Schemas registered by tenants, resource types and discovery."""
