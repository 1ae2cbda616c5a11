"""The users service: SCIM Users, tenants, access tokens and signing keys."""
