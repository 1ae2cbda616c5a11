"""The metrics service: counts what happens in each tenant and answers questions about it."""
