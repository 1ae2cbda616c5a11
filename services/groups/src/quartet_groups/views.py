"""Groups as they are shown: the stored text with id, members and meta, at the addresses of one base URL."""

from uuid import UUID

from quartet_groups.store import MEMBERS, StoredGroup
from quartet_scim.render import render

NAME = "Group"


class GroupView:
    """Shows groups below `scim_root`, the absolute URL of the SCIM base (`https://.../scim/v2`)."""

    def __init__(self, scim_root: str) -> None:
        self._base = f"{scim_root}/Groups"
        self.users_url = f"{scim_root}/Users/"

    def members(self, wanted: bool) -> str:
        """The SQL of the members' column; where nobody wants them they are not read."""
        quoted = self.users_url.replace("'", "''")
        return MEMBERS.replace("$2", f"'{quoted}'") if wanted else "NULL AS members"

    def location(self, group_id: UUID) -> str:
        """The absolute URL of a group."""
        return f"{self._base}/{group_id}"

    def of_row(self, row: StoredGroup) -> bytes:
        """A group as stored; its texts are handed on without parsing."""
        members = row["members"]
        return render(
            row["resource"],
            id=str(row["id"]),
            resource_type=NAME,
            created=row["created_at"],
            modified=row["modified_at"],
            version=row["version"],
            location=self.location(row["id"]),
            extra="" if members is None else f'"members":[{members}]',
        )
