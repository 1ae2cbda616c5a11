"""The servers of a stack: private PostgreSQL, Redis, RabbitMQ, nginx and VictoriaMetrics."""
