"""What a SCIM request says: its body, the id of its resource, the attributes that it wants, its conditions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from quart import request

from quartet_common.core.identifiers import parse_id
from quartet_common.core.offload import LARGE_BODY, work_on
from quartet_common.web.service_request import FREE_BYTES, hold_bytes, stop_on_disconnect
from quartet_scim.errors import not_found
from quartet_scim.http import require_json
from quartet_scim.json import parse, size_in_memory
from quartet_scim.preconditions import IfMatch
from quartet_scim.projection import Projection, Projector
from quartet_scim.query import Query, query_of_body, query_of_parameters
from quartet_scim.urn_references import urns_in_message, urns_in_text

T = TypeVar("T")

MAX_SEARCH_BYTES = 64 * 1024
"""Bytes that a SearchRequest may have; its filter has at most 4,096 characters."""


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON object that was sent; what is to be done with a large one is done in a thread."""

    message: dict[str, Any]
    sent: bytes

    @classmethod
    async def read(cls) -> "Body":
        """The body of the request. Raises ScimError 400 invalidSyntax, 415."""
        sent = await read_bytes()
        return cls(await work_on(sent, parse), sent)

    @property
    def is_large(self) -> bool:
        """Whether work with it is done in a thread."""
        return len(self.sent) >= LARGE_BODY

    async def work(self, work: Callable[[dict[str, Any]], T]) -> T:
        """`work(message)`; raises what it raises."""
        return await work_on(self.sent, lambda _: work(self.message))


async def read_body() -> dict[str, Any]:
    """The JSON object that was sent. Raises ScimError 400 invalidSyntax, 415."""
    return (await Body.read()).message


async def read_bytes() -> bytes:
    """What was sent and says that it is JSON, for whoever parses it elsewhere; a large one is charged for the objects
    that are made of it. Raises ScimError 415.
    """
    require_json(request.content_type)
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if len(body) > FREE_BYTES:
        await hold_bytes(size_in_memory(body), at_once=True)
    return body


def known_id(text: str) -> UUID:
    """The id of a resource out of its address. Raises ScimError 404: what is no id is simply nobody's."""
    found = parse_id(text)
    if found is None:
        raise not_found()
    return found


def read_projection(projector: Projector, excluded: str | None = None) -> Projection:
    """What the query wants to see (RFC 7644 section 3.9); if it says nothing, everything but `excluded`."""
    if not request.query_string:  # most requests: their arguments need not be parsed
        return projector.parse(None, excluded)
    given = {name.lower(): text for name, text in request.args.items()}  # their names may be of any case
    attributes, without = given.get("attributes"), given.get("excludedattributes")
    return projector.parse(attributes, without if attributes is not None or without is not None else excluded)


def read_mentions(payload: Mapping[str, Any] | None = None) -> list[str]:
    """The URNs that the query names, and the body if it is given: schemas that one may not have heard of yet."""
    in_query = urns_in_text(*request.args.values()) if request.query_string else ()
    return [*in_query, *urns_in_message(payload)] if payload else [*in_query]


def read_if_match() -> IfMatch:
    """The versions that a write insists on, by If-Match (RFC 7644 section 3.14)."""
    return IfMatch.parse(request.headers.get("If-Match"))


def read_query() -> Query:
    """What the query string of a list asks for (RFC 7644 section 3.4.2). Raises ScimError 400."""
    return query_of_parameters(request.args.lists())


async def read_search() -> Query:
    """What a SearchRequest asks for (RFC 7644 section 3.4.3), which changes nothing. Raises ScimError 400, 415."""
    stop_on_disconnect()
    return query_of_body(await read_body())
