"""Group events: what the groups service tells, for tests of those who listen to it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import Event


class GroupEvents:
    """Events of one tenant's groups; each group's name follows from its version."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def created(self, group: UUID, version: int = 1, name: str | None = None) -> Event:
        """A group came into being."""
        return self._event("group.created", group, version, name)

    def updated(self, group: UUID, version: int, name: str | None = None) -> Event:
        """A group was renamed."""
        return self._event("group.updated", group, version, name, changed=["displayName"])

    def deleted(self, group: UUID, version: int) -> Event:
        """A group is gone."""
        return self._event("group.deleted", group, version)

    def users(self, kind: str, group: UUID, version: int, *users: UUID, name: str | None = None) -> Event:
        """Users were `added` or `removed`."""
        members = [{"value": str(one), "type": "User"} for one in users]
        return self._event(f"membership.{kind}", group, version, name, members=members)

    def groups(self, kind: str, group: UUID, version: int, *children: UUID, name: str | None = None) -> Event:
        """Groups were `added` or `removed`."""
        nested = [{"value": str(one), "display": "a name"} for one in children]
        return self._event(f"nesting.{kind}", group, version, name, groups=nested)

    def _event(self, kind: str, group: UUID, version: int, name: str | None = None, **data: Any) -> Event:
        facts = {"id": str(group), "displayName": name or f"Guides {version}", "externalId": None}
        return Event(
            id=new_id(), source="/groups", type=f"quartet.groups.{kind}.v1", subject=f"groups/{group}",
            time=datetime.now(UTC), tenantid=self._tenant, actorid="hr-sync", sequence=version, data={**facts, **data},
        )  # fmt: skip
