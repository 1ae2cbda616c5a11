"""Limits: how many requests a client, a person and an address may send, counted here and summed up through Redis."""
