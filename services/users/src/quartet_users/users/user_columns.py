"""Columns: what a query over the table `users`, by that name, reads of each user."""

from quartet_users.memberships import membership_store

COLUMNS = "id, version, created_at, modified_at, resource"
TEXTS = "id, version, created_at, modified_at, resource::text"
"""The same with the document as text, whose size can be measured."""
KEPT = "id, version, created_at, modified_at, sort_key"
"""What is read of each user of a page, also of those that are cut off."""


def columns(groups_url: str | None) -> str:
    """What is read of users that are shown; with their groups where `groups_url` begins the `$ref` of these."""
    return f"{TEXTS}, {membership_store.groups_column(groups_url)}"
