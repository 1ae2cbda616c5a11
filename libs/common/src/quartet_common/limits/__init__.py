"""Limits: how many requests a client, a person and an address may send, counted in memory and added up through
Redis.
"""
