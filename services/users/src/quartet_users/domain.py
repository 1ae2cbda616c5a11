"""The rules for users: what a command makes of a user and which events tell of it; no I/O."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent
from quartet_users import events

Attributes = dict[str, Any]


@dataclass(frozen=True)
class User:
    """A user as kept: `attributes` is the SCIM document without id, meta and secrets; `version` counts from 1."""

    id: UUID
    attributes: Attributes
    version: int
    created: datetime
    modified: datetime

    @property
    def user_name(self) -> str:
        """The userName as sent."""
        return str(self.attributes["userName"])

    @property
    def user_name_key(self) -> str:
        """What must be unique in the tenant."""
        return fold(self.user_name)

    @property
    def external_id(self) -> str | None:
        """The client's own id."""
        value = self.attributes.get("externalId")
        return value if isinstance(value, str) else None


def fold(user_name: str) -> str:
    """`user_name` without regard to case (RFC 7643 section 4.1.1: caseExact false)."""
    return user_name.lower()


def create(user_id: UUID, attributes: Attributes, now: datetime) -> tuple[User, list[DomainEvent]]:
    """A new user and the event of it."""
    user = User(user_id, attributes, 1, now, now)
    return user, [events.created(user)]


def change(
    user: User, attributes: Attributes, now: datetime, *, new_password: bool = False
) -> tuple[User, list[DomainEvent]]:
    """`user` with `attributes` in place of its own; the same user and no event when nothing differs."""
    names = changed_names(user.attributes, attributes)
    if new_password:
        names.append("password")
    if not names:
        return user, []
    changed = replace(user, attributes=attributes, version=user.version + 1, modified=now)
    return changed, [events.updated(changed, names)]


def delete(user: User) -> list[DomainEvent]:
    """The event of a user's end."""
    return [events.deleted(user)]


def changed_names(before: Attributes, after: Attributes) -> list[str]:
    """The top-level attributes that differ, sorted; `schemas` follows from the rest and is left out."""
    names = (before.keys() | after.keys()) - {"schemas"}
    return sorted(name for name in names if before.get(name) != after.get(name))
