"""Shapes of legal holds over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from quartet_audit.retention.legal_hold_domain import LegalHold
from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS

MAX_REASON = 1000


class NewLegalHold(Struct, forbid_unknown_fields=True):
    """Why the log is held, such as the number of a case."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, pattern=NO_CONTROL_CHARACTERS)]


class LegalHoldDocument(Struct):
    """A hold: why, since when, and by whom."""

    tenant: str
    id: UUID
    reason: str
    set_time: datetime
    set_by: str

    @classmethod
    def of(cls, hold: LegalHold) -> "LegalHoldDocument":
        """The document of `hold`."""
        return cls(hold.tenant, hold.id, hold.reason, hold.set_at, hold.set_by)


class LegalHoldList(Struct):
    """The holds of all tenants."""

    holds: list[LegalHoldDocument]
