"""Messaging: events leave through the outbox and arrive through the inbox; README.md has the guarantees."""
