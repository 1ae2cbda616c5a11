"""The rules for users: the effect of each command on a user, and its events; no I/O."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quartet_common.messaging.changed_values import changed_values
from quartet_common.messaging.outbox import DomainEvent
from quartet_scim.resource import Attributes, Resource, changed_names
from quartet_scim.usernames import prepare
from quartet_users.sessions.session_events import EndReason
from quartet_users.users import user_events
from quartet_users.users.user_events import UserFacts


@dataclass(frozen=True)
class User(Resource):
    """A stored user; its attributes have no secrets."""

    @property
    def user_name(self) -> str:
        """The userName as sent."""
        return str(self.attributes["userName"])

    @property
    def user_name_key(self) -> str:
        """The form of the userName that is unique in the tenant."""
        return prepare(self.user_name)

    @property
    def is_active(self) -> bool:
        """Whether the user may log in."""
        return bool(self.attributes.get("active", True))


def create(user_id: UUID, attributes: Attributes, now: datetime) -> tuple[User, list[DomainEvent]]:
    """A new user and its event. The user is active unless `attributes` say otherwise."""
    user = User(user_id, _with_active(attributes, is_active=True), 1, now, now)
    return user, [user_events.created(user.id, user.version, _facts(user))]


def change(
    user: User, attributes: Attributes, now: datetime, *, new_password: bool = False
) -> tuple[User, list[DomainEvent]]:
    """`user` with other attributes; the same user and no event if nothing changed.

    Without `active` the user keeps its value (allowed by RFC 7644 section 3.5.1): only `true` activates a user.
    """
    attributes = _with_active(attributes, is_active=user.is_active)
    before = _with_active(user.attributes, is_active=True)
    names = changed_names(before, attributes)
    if new_password:
        names.append("password")
    if not names:
        return user, []
    changed = user.next(now, attributes)
    changes = changed_values(before, attributes, names)
    return changed, [user_events.updated(changed.id, changed.version, _facts(changed), names, changes)]


def is_privileged(before: User, after: User, *, new_password: bool) -> bool:
    """Whether a change affects who can log in as the user: of the password, `active` or `userName`."""
    was_active, is_active = (bool(one.attributes.get("active", True)) for one in (before, after))
    return new_password or was_active != is_active or before.user_name != after.user_name


def delete(user: User) -> list[DomainEvent]:
    """The event of a deleted user; its version is one after the last, so that it is the newest."""
    return [user_events.deleted(user.id, user.version + 1, _facts(user))]


def ends_sessions(before: User, after: User, *, new_password: bool) -> EndReason | None:
    """The reason for which a change of a user ends its sessions; None if it does not."""
    if before.is_active and not after.is_active:
        return "deactivated"
    return "password_changed" if new_password else None


def _facts(user: User) -> UserFacts:
    return {
        "id": str(user.id),
        "userName": user.user_name,
        "displayName": user.attributes.get("displayName"),
        "externalId": user.external_id,
        "active": user.is_active,
    }


def _with_active(attributes: Attributes, *, is_active: bool) -> Attributes:
    return attributes if "active" in attributes else {**attributes, "active": is_active}
