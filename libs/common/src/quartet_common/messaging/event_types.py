"""Types of events that several services know."""

REVOKED = "users.token.revoked.v1"
"""The type of a revocation."""

ORIGIN_ADDED, ORIGIN_REMOVED = "users.origin.added.v1", "users.origin.removed.v1"
"""The types of changes of a tenant's origins; the data of both has all origins after the change."""

ORIGINS = "users.origin.*.v1"
"""The pattern of both."""

TENANT_DELETED = "users.tenant.deleted.v1"
"""The type of a tenant's deletion; its data has the `id`, since the event belongs to the platform's tenant."""

APPLICATION = "app"
"""The first word of the types of events that applications have sent: `app.<their type>.v1`."""
