"""Isolation: what a stranger tries at each route and must not reach; tests/conventions/test_isolation.py walks it."""
