"""Roles: named sets of scopes, their grants, and the revocation of lost scopes."""
