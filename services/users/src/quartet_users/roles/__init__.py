"""Roles: named sets of scopes, who is given them, and who loses some by a change."""
