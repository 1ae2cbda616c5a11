"""SCIM Bulk over users and groups (RFC 7644 section 3.7)."""
