"""API clients: programs of a tenant with credentials of their own, and their authentication."""
