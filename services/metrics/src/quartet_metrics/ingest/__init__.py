"""Metrics from applications: OTLP and Prometheus remote write become samples in the engine."""
