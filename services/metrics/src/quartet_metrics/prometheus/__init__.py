"""The Prometheus API: queries of a tenant that the engine evaluates."""
