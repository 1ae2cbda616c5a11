"""The SCIM 2.0 protocol (RFC 7643, RFC 7644) for users and groups, without database and web framework."""
