"""Types of events that every service consumes."""

REVOKED = "users.token.revoked.v1"
"""The event that tells of a revocation."""

TENANT_DELETED = "users.tenant.deleted.v1"
"""The event that tells of a tenant's end; its data has the `id`, since it belongs to the platform's tenant."""
