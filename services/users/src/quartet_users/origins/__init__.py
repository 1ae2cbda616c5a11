"""Origins: those whose pages may read responses to tokens of a tenant."""
