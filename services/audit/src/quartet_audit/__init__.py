"""The audit service: keeps every event as one entry of an append-only log, and answers questions about it."""
