"""API clients: machines that a tenant has given credentials, and how they prove who they are."""
