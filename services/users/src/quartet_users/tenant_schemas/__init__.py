"""Schemas that tenants register, resource types and discovery."""
