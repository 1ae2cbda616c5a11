"""Users as they are shown: the stored text with id and meta, at the addresses of one base URL."""

from uuid import UUID

from quartet_scim.json import dump
from quartet_scim.projection import Projection
from quartet_scim.render import render
from quartet_users.users.user_domain import User
from quartet_users.users.user_store import StoredUser

NAME = "User"


class UserView:
    """Shows users below `scim_root`, the absolute URL of the SCIM base (`https://.../scim/v2`)."""

    def __init__(self, scim_root: str) -> None:
        self._base = f"{scim_root}/Users"
        self._groups_url = f"{scim_root}/Groups/"

    def location(self, user_id: UUID) -> str:
        """The absolute URL of a user."""
        return f"{self._base}/{user_id}"

    def groups_url(self, shown: Projection) -> str | None:
        """What begins the address of a group, where `shown` wants the groups of users; else None: do not read them."""
        return self._groups_url if shown.wants("groups") else None

    def of_user(self, user: User, groups: str | None = None) -> bytes:
        """A user that a command has made or changed, with its groups as `membership_store.read_groups` gives them."""
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
        """A user as stored; its text is handed on without parsing."""
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
