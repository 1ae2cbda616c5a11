"""Messaging: events leave through the outbox and arrive through the inbox; see README.md for what that promises."""
