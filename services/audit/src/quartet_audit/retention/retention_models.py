"""Shapes of retention over HTTP."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from quartet_audit.retention.retention_domain import MAX_DAYS, MIN_DAYS
from quartet_audit.retention.retention_usecases import RetentionState


class NewRetention(Struct, forbid_unknown_fields=True):
    """After how many days entries expire; null keeps them for ever."""

    days: Annotated[int, Meta(ge=MIN_DAYS, le=MAX_DAYS)] | None


class RetentionDocument(Struct):
    """The setting, null without one, and what of the log has expired: the entries below `expired_entries`, of which the
    leaves below `minimum_index` are pruned too (C2SP tlog-tiles, "Pruning").
    """

    days: int | None
    changed_time: datetime | None
    changed_by: str | None
    expired_entries: int
    minimum_index: int

    @classmethod
    def of(cls, state: RetentionState) -> "RetentionDocument":
        """The document of `state`."""
        retention, pruned = state
        return cls(
            None if retention is None else retention.days,
            None if retention is None else retention.changed_at,
            None if retention is None else retention.changed_by,
            0 if pruned is None else pruned.entries,
            0 if pruned is None else pruned.minimum_index,
        )
