"""The query of a list or search: filter, order, page and projection, parsed from a query string or SearchRequest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quartet_scim.attribute_names import MAX_NAMES
from quartet_scim.errors import ScimError, invalid_cursor, invalid_filter, invalid_syntax, invalid_value
from quartet_scim.filters import MAX_CHARACTERS
from quartet_scim.message_members import require_schema
from quartet_scim.paging import DEFAULT_COUNT, MAX_COUNT, Page, whole_number

SEARCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
NAMES = ("filter", "sortBy", "sortOrder", "startIndex", "count", "cursor", "attributes", "excludedAttributes")
MAX_NAME = 1_024
"""Maximum characters of sortBy."""
MAX_CURSOR = 4_096
"""Maximum characters of a cursor; valid ones are shorter."""
_KNOWN = {name.lower(): name for name in NAMES}
_MAY_BE_EMPTY = frozenset({"filter", "startIndex", "count"})
_DESCENDING = {"ascending": False, "descending": True}


@dataclass(frozen=True, slots=True)
class Query:
    """A query for resources (RFC 7644 3.4.2).

    cursor: None for paging by index, "" for the first page by cursor (RFC 9865 2). attributes, excluded: as a
    `Projector` takes them, for it alone knows the names.
    """

    page: Page
    filter: str | None = None
    sort_by: str | None = None
    descending: bool = False
    cursor: str | None = None
    attributes: str | Sequence[str] | None = None
    excluded: str | Sequence[str] | None = None

    def at(self, page: Page, cursor: str | None = None) -> "Query":
        """The same query for another page."""
        return replace(self, page=page, cursor=cursor)

    def body(self) -> dict[str, Any]:
        """The equivalent SearchRequest (RFC 7644 3.4.3)."""
        found = {
            "filter": self.filter,
            "sortBy": self.sort_by,
            "sortOrder": "descending" if self.descending else None,
            "startIndex": self.page.start_index if self.cursor is None else None,
            "count": self.page.count,
            "cursor": self.cursor,
            "attributes": _names(self.attributes),
            "excludedAttributes": _names(self.excluded),
        }
        return {"schemas": [SEARCH_SCHEMA], **{name: value for name, value in found.items() if value is not None}}


def query_of_parameters(parameters: Iterable[tuple[str, Sequence[str]]], *, maximum: int = MAX_COUNT) -> Query:
    """Parse a query string: each name with its values; names may be in any case.

    Ignores other parameters, and `filter`, `startIndex` and `count` without a value. Raises ScimError 400, which names
    the parameter: invalidValue for an invalid one or one given twice, invalidCount for an invalid count with a cursor
    (RFC 9865 2.1).
    """
    given: dict[str, str] = {}
    for name, texts in parameters:
        known = _KNOWN.get(name.lower())
        if known is None:
            continue
        if known in given or len(texts) != 1:
            raise invalid_value(f"{known} must be given once.")
        given[known] = texts[0]
    return _query(
        {name: text for name, text in given.items() if text or name not in _MAY_BE_EMPTY}, _number_of_text, maximum
    )


def query_of_body(body: Mapping[str, Any], *, maximum: int = MAX_COUNT) -> Query:
    """Parse a SearchRequest (RFC 7644 3.4.3), whose names may be in any case; null counts as missing.

    Raises ScimError 400 as `query_of_parameters` does, invalidSyntax for another message.
    """
    message: dict[str, Any] = {}
    for name, value in body.items():
        known = _KNOWN.get(name.lower(), name.lower())
        if known in message:
            raise invalid_syntax(f"{known} is given twice, in different case.")
        message[known] = value
    require_schema(message.get("schemas"), SEARCH_SCHEMA)
    given = {name: message[name] for name in NAMES if message.get(name) is not None}
    for name in ("filter", "sortBy", "sortOrder", "cursor"):
        if not isinstance(given.get(name, ""), str):
            raise invalid_value(f"{name} must be a string.")
    for name in ("attributes", "excludedAttributes"):
        if not _are_names(given.get(name, "")):
            raise invalid_value(f"{name} must be a list of at most {MAX_NAMES} names.")
    return _query(given, _number_of_json, maximum)


def _query(given: Mapping[str, Any], number: Callable[[str, Any], int], maximum: int) -> Query:
    cursor = given.get("cursor")
    if len(given.get("filter") or "") > MAX_CHARACTERS:
        raise invalid_filter(f"The filter is longer than {MAX_CHARACTERS} characters.")
    if len(given.get("sortBy") or "") > MAX_NAME:
        raise invalid_value(f"sortBy is longer than {MAX_NAME} characters.")
    if len(cursor or "") > MAX_CURSOR:
        raise invalid_cursor()
    if cursor is not None and "startIndex" in given:
        raise invalid_value("startIndex and cursor cannot be given together.")
    try:
        count = max(0, number("count", given["count"])) if "count" in given else DEFAULT_COUNT
    except ScimError as wrong:
        raise wrong if cursor is None else ScimError(400, wrong.detail, "invalidCount") from None
    first = max(1, number("startIndex", given["startIndex"])) if "startIndex" in given else 1
    descending = _DESCENDING.get(str(given.get("sortOrder", "ascending")).lower())
    if descending is None:
        raise invalid_value("sortOrder must be ascending or descending.")
    sort_by = given.get("sortBy")
    if sort_by is not None and not sort_by.strip():
        raise invalid_value("sortBy must name an attribute.")
    return Query(
        page=Page(first, min(count, maximum)),
        filter=given.get("filter"),
        sort_by=None if sort_by is None else sort_by.strip(),
        descending=descending,
        cursor=cursor,
        attributes=given.get("attributes"),
        excluded=given.get("excludedAttributes"),
    )


def _number_of_text(name: str, text: str) -> int:
    return whole_number(name, text)


def _number_of_json(name: str, value: object) -> int:
    # some clients send numbers as strings; true and 1.0 are no whole numbers
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise invalid_value(f"{name} must be a whole number.")
    return whole_number(name, str(value))


def _are_names(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_NAMES and all(isinstance(name, str) for name in value)
    return isinstance(value, str)


def _names(names: str | Sequence[str] | None) -> list[str] | None:
    return [names] if isinstance(names, str) else None if names is None else list(names)
