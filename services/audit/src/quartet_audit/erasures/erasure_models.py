"""Shapes of erasures over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from quartet_audit.erasures.erasure_domain import Erasure
from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS

MAX_USER = 255


class NewErasure(Struct, forbid_unknown_fields=True):
    """Whom to erase: the id of the user."""

    user: Annotated[str, Meta(min_length=1, max_length=MAX_USER, pattern=NO_CONTROL_CHARACTERS)]


class AcceptedErasure(Struct):
    """The id of the request."""

    id: UUID


class ErasureState(Struct):
    """A request: `entries` and `parts` say of how many entries how many parts were erased; `completed_time` is null
    until all of them are.
    """

    id: UUID
    user: str
    actor: str
    requested_time: datetime
    completed_time: datetime | None
    entries: int
    parts: int

    @classmethod
    def of(cls, erasure: Erasure) -> "ErasureState":
        """The state of `erasure`."""
        return cls(
            erasure.id,
            erasure.user,
            erasure.actor,
            erasure.requested_at,
            erasure.completed_at,
            erasure.entries,
            erasure.parts,
        )
