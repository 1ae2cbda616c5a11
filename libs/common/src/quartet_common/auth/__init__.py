"""Auth: offline verification of access tokens, scopes of routes, and the service's own token."""
