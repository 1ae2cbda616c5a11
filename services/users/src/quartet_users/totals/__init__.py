"""What the tenant has in total, for metrics."""
