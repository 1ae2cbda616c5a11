"""Answers: the shapes of what goes in and out over HTTP, from which OpenAPI is made."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from quartet_audit.entries.entry_parameters import DEFAULT_LIMIT, MAX_LIMIT
from quartet_audit.entries.filter_domain import Filters
from quartet_audit.leaves.part_domain import Facts


class ErasedPart(Struct, frozen=True):
    """What was erased of an entry, when, and by which erasure."""

    part: Literal["actor", "resource", "source", "changes"]
    time: datetime
    request: UUID


class Entry(Facts, kw_only=True):
    """An entry: facts and personal parts. Members that the event did not have, or that were erased, are null."""

    actor_name: str | None
    actor_type: str | None
    resource_name: str | None
    source_address: str | None
    user_agent: str | None
    data: dict[str, Any] | None
    erased: list[ErasedPart] | UnsetType = UNSET


class EntryList(Struct, frozen=True):
    """One page. `next` leads to the following one and is null on the last; a page may be short, even empty, before."""

    events: list[Entry]
    next: str | None


class Parameters(Filters, frozen=True, kw_only=True):
    """The query string of `/audit/events`."""

    order: Annotated[str, Meta(description="`desc` (newest first) or `asc`.")] = "desc"
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="The largest number of entries on a page.")] = (
        DEFAULT_LIMIT
    )
    cursor: Annotated[
        str, Meta(description="The `next` of the previous page; all parameters but `limit` must stay the same.")
    ] = ""
