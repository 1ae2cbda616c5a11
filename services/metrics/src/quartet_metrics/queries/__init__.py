"""`/metrics/query` and `/metrics/catalog`, answered by PostgreSQL."""
