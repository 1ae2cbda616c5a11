"""Parses SCIM requests: body, id of the resource, projection, query and conditions."""

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
"""The maximum size of a SearchRequest in bytes; its filter has at most 4,096 characters."""


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON object in a body; work with a large one is done in a thread."""

    message: dict[str, Any]
    sent: bytes

    @classmethod
    async def read(cls) -> "Body":
        """The body of the request. Raises ScimError 400 invalidSyntax, 415."""
        sent = await read_bytes()
        return cls(await work_on(sent, parse), sent)

    @property
    def is_large(self) -> bool:
        """Whether work with the body is done in a thread."""
        return len(self.sent) >= LARGE_BODY

    async def work(self, work: Callable[[dict[str, Any]], T]) -> T:
        """The result of `work(message)`; raises what it raises."""
        return await work_on(self.sent, lambda _: work(self.message))


async def read_body() -> dict[str, Any]:
    """The JSON object in the body. Raises ScimError 400 invalidSyntax, 415."""
    return (await Body.read()).message


async def read_bytes() -> bytes:
    """The bytes of a JSON body, which the caller parses; a large one is charged for the memory of the parsed objects.
    Raises ScimError 415.
    """
    _require_json(request.content_type)
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if len(body) > FREE_BYTES:
        await hold_bytes(size_in_memory(body), at_once=True)
    return body


def known_id(text: str) -> UUID:
    """The id of a resource in a path. Raises ScimError 404 for an invalid id, which no resource has."""
    found = parse_id(text)
    if found is None:
        raise not_found()
    return found


def read_projection(projector: Projector, excluded: str | None = None) -> Projection:
    """The projection of the query string (RFC 7644 section 3.9); by default everything except `excluded`."""
    if not request.query_string:  # saves parsing the arguments for most requests
        return projector.parse(None, excluded)
    given = {name.lower(): text for name, text in request.args.items()}  # their names may be of any case
    attributes, without = given.get("attributes"), given.get("excludedattributes")
    return projector.parse(attributes, without if attributes is not None or without is not None else excluded)


def read_mentions(payload: Mapping[str, Any] | None = None) -> list[str]:
    """The URNs in the query string, and in the body if given: they may be of schemas that are not cached yet."""
    in_query = urns_in_text(*request.args.values()) if request.query_string else ()
    return [*in_query, *urns_in_message(payload)] if payload else [*in_query]


def read_if_match() -> IfMatch:
    """The condition of the If-Match header (RFC 7644 section 3.14)."""
    return IfMatch.parse(request.headers.get("If-Match"))


def read_query() -> Query:
    """The query in the query string of a list (RFC 7644 section 3.4.2). Raises ScimError 400."""
    return query_of_parameters(request.args.lists())


async def read_search() -> Query:
    """The query in a SearchRequest (RFC 7644 section 3.4.3). Raises ScimError 400, 415."""
    stop_on_disconnect()
    return query_of_body(await read_body())


def _require_json(content_type: str | None) -> None:
    """Refuse a body with another content type than JSON (RFC 7644 3.1, 8.1); one without a content type is accepted.

    Raises ScimError 415.
    """
    media_type = (content_type or CONTENT_TYPE).partition(";")[0].strip().lower()
    if media_type not in ACCEPTED:
        raise ScimError(415, f"The body must be {CONTENT_TYPE} or application/json.")


def take_trailing_slashes(app: Quart) -> None:
    """Make `app` serve `/scim/v2/Users/` as `/scim/v2/Users`: some clients send a trailing slash."""
    app.asgi_app = _without_trailing_slash(app.asgi_app)  # type: ignore[method-assign,assignment]  # as documented


def _without_trailing_slash(inner: Asgi) -> Asgi:
    async def outer(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.startswith(ROOT) and path.endswith("/"):
            raw = scope.get("raw_path") or b""
            scope = {**scope, "path": path.rstrip("/"), "raw_path": raw.rstrip(b"/")}
        await inner(scope, receive, send)

    return outer
