"""Auth: offline verification of access tokens, scopes, revocations, introspection."""
