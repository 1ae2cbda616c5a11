"""Tenancy: what every service does when a tenant is deleted."""

TENANT_DELETED = "users.tenant.deleted.v1"
"""The event that tells of a tenant's end; its data has the `id`, since it belongs to the platform's tenant."""
