"""Web: the Quart application of a service."""
