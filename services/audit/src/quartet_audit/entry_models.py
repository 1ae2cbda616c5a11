"""Answers: the shapes of what goes in and out over HTTP, from which OpenAPI is made."""

from typing import Annotated

from msgspec import Meta, Struct, field

from quartet_audit.entry_domain import Entry
from quartet_audit.entry_parameters import DEFAULT_LIMIT, MAX_LIMIT


class EntryList(Struct, frozen=True):
    """One page. `next` leads to the following one and is null on the last; a page may be short, even empty, before."""

    events: list[Entry]
    next: str | None


class Parameters(Struct, frozen=True, kw_only=True):
    """The query string of `/audit/events`."""

    action: Annotated[str, Meta(description="The whole action, or its beginning and `*`, e.g. `users.user.*`.")] = ""
    actor: Annotated[str, Meta(description="The id of the user or client that caused the event.")] = ""
    resource: Annotated[str, Meta(description="The id of the resource that was changed.")] = ""
    outcome: Annotated[str, Meta(description="`success` or `denied`.")] = ""
    start: Annotated[str, Meta(description="RFC 3339 time of the event, inclusive.")] = field(name="from", default="")
    end: Annotated[str, Meta(description="RFC 3339 time of the event, exclusive.")] = field(name="to", default="")
    order: Annotated[str, Meta(description="`desc` (newest first) or `asc`.")] = "desc"
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="The largest number of entries on a page.")] = (
        DEFAULT_LIMIT
    )
    cursor: Annotated[
        str, Meta(description="The `next` of the previous page; all parameters but `limit` must stay the same.")
    ] = ""
