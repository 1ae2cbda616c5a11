"""Configuration: settings of a service and the TLS files that they name."""
