"""Data: PostgreSQL and Redis."""
