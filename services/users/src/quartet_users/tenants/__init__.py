"""Tenants: create, rename, suspend, resume and delete them."""
