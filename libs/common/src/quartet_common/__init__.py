"""What every Quartet service shares: config, retry, database, messaging, auth, http and telemetry."""
