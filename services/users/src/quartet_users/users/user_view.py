"""The response form of users: the stored JSON text with id, meta and groups."""

from uuid import UUID

from quartet_scim.json import dump
from quartet_scim.projection import Projection
from quartet_scim.render import render
from quartet_users.users.user_domain import User
from quartet_users.users.user_store import StoredUser

NAME = "User"


class UserView:
    """Renders users; `scim_root` is the absolute SCIM base URL (`https://.../scim/v2`)."""

    def __init__(self, scim_root: str) -> None:
        self._base = f"{scim_root}/Users"
        self._groups_url = f"{scim_root}/Groups/"

    def location(self, user_id: UUID) -> str:
        """The absolute URL of a user."""
        return f"{self._base}/{user_id}"

    def groups_url(self, shown: Projection) -> str | None:
        """The URL that begins the `$ref` of groups; None if `shown` has no groups, which are not read then."""
        return self._groups_url if shown.wants("groups") else None

    def of_user(self, user: User, groups: str | None = None) -> bytes:
        """A created or changed user, with its groups as `membership_store.read_groups` returns them."""
        return render(
            dump(user.attributes),
            id=str(user.id),
            resource_type=NAME,
            created=user.created,
            modified=user.modified,
            version=user.version,
            location=self.location(user.id),
            extra=_groups(groups),
        )

    def of_row(self, row: StoredUser) -> bytes:
        """A stored user; its text is not parsed."""
        return render(
            row["resource"],
            id=str(row["id"]),
            resource_type=NAME,
            created=row["created_at"],
            modified=row["modified_at"],
            version=row["version"],
            location=self.location(row["id"]),
            extra=_groups(row["groups"]),
        )


def _groups(groups: str | None) -> str:
    return "" if groups is None else f'"groups":[{groups}]'
