"""Retention: how long a tenant keeps entries, and what of its log has expired (docs/audit-formats.md, "Retention")."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from quartet_audit.trees.tree_domain import TILE_WIDTH
from quartet_common.core.errors import NotFoundError, ServiceError

MIN_DAYS = 30
"""A shorter time would leave no chance to verify a log, or to look for the cause of an incident, once a month."""
MAX_DAYS = 36_500
TIME_ORDERED = 7
"""The version of UUIDs that begin with their time (RFC 9562 section 5.7)."""


@dataclass(frozen=True)
class Retention:
    """The setting of a tenant: its entries expire `days` days after they were recorded."""

    days: int
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True)
class PrunedLog:
    """A log whose entries below `entries`, recorded up to `recorded_until`, have expired, the last at `pruned_at`."""

    entries: int
    recorded_until: datetime
    pruned_at: datetime

    @property
    def minimum_index(self) -> int:
        """The first leaf that is kept (C2SP tlog-tiles, "Pruning"): that of the tile in which the first entry is."""
        return minimum_index(self.entries)


def minimum_index(entries: int) -> int:
    """The first leaf that stays of a log whose entries below `entries` have expired: leaves go by whole tiles."""
    return entries - entries % TILE_WIDTH


class EntryExpiredError(ServiceError):
    """404: the log may have had the entry, and if it had, retention has removed it."""

    def __init__(self, pruned: PrunedLog, created: datetime) -> None:
        until, time = (_shown(one) for one in (pruned.recorded_until, created))
        detail = (
            f"There is no entry with this id any more: it is of {time}, and entries that were recorded up to {until} "
            "have expired by the retention of the tenant. The log keeps their hashes."
        )
        super().__init__(404, "entry_expired", detail)


def missing_entry(identifier: UUID, pruned: PrunedLog | None) -> ServiceError:
    """Why a log has no entry with this id: expired, if the id is no newer than what was removed; else not found."""
    if pruned is not None and identifier.version == TIME_ORDERED:
        created = datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
        if created <= pruned.recorded_until:
            return EntryExpiredError(pruned, created)
    return NotFoundError("There is no entry with this id.")


def _shown(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
