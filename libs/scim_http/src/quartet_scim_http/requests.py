"""What a SCIM request says: its address, its body, the id of its resource, the attributes it wants, its conditions."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from quart import Quart, request

from quartet_common.core.identifiers import parse_id
from quartet_common.core.offload import LARGE_BODY, work_on
from quartet_common.web.service_request import FREE_BYTES, hold_bytes, stop_on_disconnect
from quartet_scim.errors import ScimError, not_found
from quartet_scim.http import ACCEPTED, CONTENT_TYPE, ROOT
from quartet_scim.json import parse, size_in_memory
from quartet_scim.preconditions import IfMatch
from quartet_scim.projection import Projection, Projector
from quartet_scim.query import Query, query_of_body, query_of_parameters
from quartet_scim.urn_references import urns_in_message, urns_in_text

T = TypeVar("T")
Asgi = Callable[[Any, Any, Any], Awaitable[None]]

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
    _require_json(request.content_type)
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


def _require_json(content_type: str | None) -> None:
    """Refuse a body that says it is something else than JSON (RFC 7644 3.1, 8.1); one that says nothing is taken.

    Raises ScimError 415.
    """
    media_type = (content_type or CONTENT_TYPE).partition(";")[0].strip().lower()
    if media_type not in ACCEPTED:
        raise ScimError(415, f"The body must be {CONTENT_TYPE} or application/json.")


def take_trailing_slashes(app: Quart) -> None:
    """Have `app` answer at `/scim/v2/Users/` as at `/scim/v2/Users`: some clients end their addresses so."""
    app.asgi_app = _without_trailing_slash(app.asgi_app)  # type: ignore[method-assign,assignment]  # as documented


def _without_trailing_slash(inner: Asgi) -> Asgi:
    async def outer(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.startswith(ROOT) and path.endswith("/"):
            raw = scope.get("raw_path") or b""
            scope = {**scope, "path": path.rstrip("/"), "raw_path": raw.rstrip(b"/")}
        await inner(scope, receive, send)

    return outer
