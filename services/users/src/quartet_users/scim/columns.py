"""Columns: what a query over the table `users`, by that name, reads of each user."""

from quartet_users.scim import memberships

COLUMNS = "id, version, created_at, modified_at, resource"


def columns(groups_url: str | None) -> str:
    """What is read of users that are shown; with their groups where `groups_url` begins the `$ref` of these."""
    return f"{COLUMNS}, {memberships.groups_column(groups_url)}"
