"""The servers below the services: how a private PostgreSQL, Redis, RabbitMQ and nginx are set up and run."""
