"""The SCIM 2.0 protocol (RFC 7643, RFC 7644) that users and groups share; it knows no database and no web framework."""
