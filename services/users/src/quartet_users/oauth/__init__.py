"""OAuth 2.0: the token endpoint, introspection, revocation and metadata."""
