"""The rules for active users: which events show that a user was active, and on which days they count; no I/O."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from quartet_common.core.caller import USER
from quartet_common.messaging.envelope import SUCCESS, Event
from quartet_metrics.series.catalog_domain import DAILY_USERS, MONTHLY_USERS, WEEKLY_USERS

LOGIN = "users.login.succeeded"
DELETED = "users.user.deleted"
WINDOWS = ((DAILY_USERS.name, 1), (WEEKLY_USERS.name, 7), (MONTHLY_USERS.name, 30))
"""The metrics of active users, and the days that each counts."""


class Activity(NamedTuple):
    """A user was active on a day (UTC)."""

    tenant: str
    user: UUID
    day: date


def activities(events: Iterable[Event]) -> list[Activity]:
    """The days on which users were active, sorted, each once: users who have logged in, and the actors of events with
    the outcome success.
    """
    found = {
        Activity(event.tenantid, user, event.time.astimezone(UTC).date())
        for event in events
        if (user := _active_user(event)) is not None
    }
    return sorted(found)


def deleted_users(events: Iterable[Event]) -> list[tuple[str, UUID]]:
    """The users whose deletion is in `events`, sorted: tenant and id."""
    found = {
        (event.tenantid, user)
        for event in events
        if event.action == DELETED and (user := _uuid(event.data.get("id"))) is not None
    }
    return sorted(found)


def first_kept(now: datetime, days: int) -> date:
    """The first day whose rows are kept for `days` days, which end with today (UTC)."""
    return now.astimezone(UTC).date() - timedelta(days=days - 1)


def tenants_of(*found: Sequence[tuple[str, UUID] | Activity]) -> list[str]:
    """The tenants of activities and deleted users, sorted."""
    return sorted({one[0] for many in found for one in many})


def _active_user(event: Event) -> UUID | None:
    if event.action == LOGIN:
        return _uuid(event.data.get("userId"))
    return _uuid(event.actorid) if event.actortype == USER and event.outcome == SUCCESS else None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
