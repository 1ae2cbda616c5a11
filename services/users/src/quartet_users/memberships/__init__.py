"""Memberships: the groups of each user, as the users service knows them from events of the groups service."""
