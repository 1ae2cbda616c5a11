"""The response form of groups: the stored JSON text with id, members and meta."""

from uuid import UUID

from quartet_groups.group_store import StoredGroup
from quartet_groups.member_store import MemberTexts
from quartet_scim.render import render

NAME = "Group"


class GroupView:
    """Renders groups; `scim_root` is the absolute SCIM base URL (`https://.../scim/v2`)."""

    def __init__(self, scim_root: str) -> None:
        self._base = f"{scim_root}/Groups"
        self.members = MemberTexts.at(scim_root)

    def location(self, group_id: UUID) -> str:
        """The absolute URL of a group."""
        return f"{self._base}/{group_id}"

    def of_row(self, row: StoredGroup) -> bytes:
        """A stored group; its texts are not parsed."""
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
