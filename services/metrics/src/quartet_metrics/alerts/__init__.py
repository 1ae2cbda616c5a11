"""Alerts: rules of tenants, which a worker evaluates in the engine; what fires and is resolved becomes an event."""
