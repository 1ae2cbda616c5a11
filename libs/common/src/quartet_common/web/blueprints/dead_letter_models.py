"""Shapes of requests and responses about dead letters and redrives."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from msgspec import Meta, Struct

from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS
from quartet_common.messaging.dead_letter_store import Count, DeadLetter, Payload, Selection
from quartet_common.messaging.envelope import TYPE_PREFIX
from quartet_common.messaging.redrive import MAX_RATE
from quartet_common.messaging.redrive_store import Redrive

Text = Annotated[str, Meta(min_length=1, max_length=300, pattern=NO_CONTROL_CHARACTERS)]
Time = Annotated[datetime, Meta(tz=True)]
MAX_IDS = 300
"""A body with more would be larger than SMALL_BODY."""
DEFAULT_RATE = 100


class DeadLetterQuery(Struct):
    """Which dead letters are listed or counted."""

    type: str | None = None
    tenant: str | None = None
    failure: str | None = None
    since: str | None = None
    until: str | None = None


class DeadLetterPageQuery(DeadLetterQuery):
    """Which page of them is listed."""

    cursor: str | None = None
    count: int | None = None


class RedrivePageQuery(Struct):
    """Which page of redrives is listed."""

    cursor: str | None = None
    count: int | None = None


class DeadLetterFilter(Struct, forbid_unknown_fields=True):
    """Conditions that dead letters meet; none: all of them."""

    type: Annotated[Text | None, Meta(description="The type of the event, such as users.user.created.v1.")] = None
    tenant: Annotated[Text | None, Meta(description="Only platform:admin sees those of other tenants.")] = None
    failure: Annotated[Text | None, Meta(description="The beginning of the reason, up to the colon.")] = None
    since: Annotated[Time | None, Meta(description="Dead since this time.")] = None
    until: Annotated[Time | None, Meta(description="Dead before this time.")] = None


class Chosen(Struct, forbid_unknown_fields=True, kw_only=True):
    """Dead letters: those with `ids`, or all that meet the `filter`."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_IDS)] | None = None
    filter: DeadLetterFilter | None = None
    expected: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="How many dry_run has shown: with another number nothing is done (409)."),
    ] = None
    dry_run: Annotated[bool, Meta(description="Only count what would be taken.")] = False


class NewRedrive(Chosen):
    """What is sent back into its queue."""

    rate: Annotated[int, Meta(ge=1, le=MAX_RATE, description="Messages per second.")] = DEFAULT_RATE


class NewDiscard(Chosen):
    """What is deleted; the audit log keeps the reason and a copy."""

    reason: Annotated[Text, Meta(description="Why its effect is not needed.")]


class CountDocument(Struct):
    """The number of dead letters of a type with a failure."""

    type: str | None
    failure: str
    count: int


class CountsDocument(Struct):
    """Numbers of dead letters by type and failure, the largest first."""

    total: int
    counts: list[CountDocument]

    @classmethod
    def of(cls, counts: list[Count]) -> "CountsDocument":
        """The document of `counts`."""
        return cls(sum(one.number for one in counts), [CountDocument(*one) for one in counts])


class DeadLetterDocument(Struct, kw_only=True):
    """A dead letter. `redrive` has selected it, and will send it."""

    id: UUID
    consumer: str
    message_id: str | None
    type: str | None
    tenant: str | None
    subject: str | None
    time: str | None
    reason: str
    failure: str
    attempts: int
    redrives: int
    died_at: datetime
    redrive: UUID | None

    @classmethod
    def of(cls, letter: DeadLetter, **more: Any) -> "DeadLetterDocument":
        """The document of `letter`."""
        return cls(
            id=letter.id,
            consumer=letter.consumer,
            message_id=letter.message_id,
            type=letter.type,
            tenant=letter.tenant or None,
            subject=letter.subject,
            time=letter.event_time,
            reason=letter.reason,
            failure=letter.failure,
            attempts=letter.attempts,
            redrives=letter.returns,
            died_at=letter.died_at,
            redrive=letter.redrive_id,
            **more,
        )


class WholeDeadLetterDocument(DeadLetterDocument, kw_only=True):
    """A dead letter with its payload as text; bytes that are not UTF-8 are replaced."""

    content_type: str | None
    headers: dict[str, str]
    payload: str

    @classmethod
    def whole(cls, letter: DeadLetter, payload: Payload) -> DeadLetterDocument:
        """The document of `letter` with `payload`."""
        return cls.of(
            letter,
            content_type=payload.content_type,
            headers=orjson.loads(payload.headers),
            payload=payload.body.decode(errors="replace"),
        )


class DeadLetterListDocument(Struct):
    """A page of dead letters, oldest first; `next` is the cursor of the next page, null on the last."""

    dead_letters: list[DeadLetterDocument]
    next: str | None


class RedriveDocument(Struct):
    """A redrive: `failed` of the `sent` ones are dead letters again, `remaining` ones wait to be sent."""

    id: UUID
    status: str
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    rate: int
    selected: int
    sent: int
    failed: int
    remaining: int

    @classmethod
    def of(cls, redrive: Redrive) -> "RedriveDocument":
        """The document of `redrive`."""
        ended = "cancelled" if redrive.is_cancelled else "finished"
        return cls(
            redrive.id,
            "running" if redrive.finished_at is None else ended,
            redrive.actor,
            redrive.created_at,
            redrive.finished_at,
            redrive.rate,
            redrive.selected,
            redrive.sent,
            redrive.failed,
            redrive.remaining,
        )


class RedriveListDocument(Struct):
    """A page of redrives, newest first; `next` is the cursor of the next page, null on the last."""

    redrives: list[RedriveDocument]
    next: str | None


def selection_of(chosen: Chosen) -> Selection:
    """What is chosen."""
    given = chosen.filter or DeadLetterFilter()
    return Selection(given.tenant, full_type(given.type), given.failure, given.since, given.until, chosen.ids)


def full_type(kind: str | None) -> str | None:
    """A type as events have it, with the prefix that may be left out."""
    return kind if kind is None or kind.startswith(TYPE_PREFIX) else TYPE_PREFIX + kind


def examples(service: str) -> dict[str, Any]:
    """Examples of request bodies, by method and path."""
    chosen = {"filter": {"failure": "ValueError", "type": f"{service}.user.created.v1"}, "dry_run": True}
    return {
        f"POST /{service}/rabbitmq/redrives": {**chosen, "rate": 50},
        f"POST /{service}/rabbitmq/dead-letters/discard": {
            "ids": ["01a22c26-0f3c-7a1e-b2c4-5d6e7f809102"],
            "reason": "The user was deleted by hand.",
        },
    }
