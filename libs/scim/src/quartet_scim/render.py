"""Renders a resource from its stored text without parsing it: id, meta and further members are inserted."""

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson

LIST_RESPONSE_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


def render(
    stored: str,
    *,
    id: str,  # noqa: A002 - the attribute's own name
    resource_type: str,
    created: datetime,
    modified: datetime,
    version: int,
    location: str,
    extra: str = "",
) -> bytes:
    """The resource in a response (RFC 7643 3.1).

    stored: the text of a JSON object (PostgreSQL's or `json.dump`'s) that has none of the members spliced in here.
    created, modified: with a time zone; ValueError without. location: the absolute URL.
    extra: JSON text of further members, without braces or outer commas, such as `"members":[...]`.
    """
    inner = stored.strip()[1:-1].strip()
    parts = [f'"id":{_quoted(id)}', inner, extra, _meta(resource_type, created, modified, version, location)]
    return ("{" + ",".join(part for part in parts if part) + "}").encode()


def list_response(
    resources: Iterable[bytes],
    *,
    total: int | None,
    items_per_page: int,
    start_index: int | None = None,
    next_cursor: str | None = None,
) -> bytes:
    """The ListResponse (RFC 7644 3.4.2, RFC 9865 2) with rendered resources.

    total: how many match in all, None if not counted. items_per_page: how many this page really holds.
    start_index: counted from 1, None for a page by cursor. next_cursor: unreserved characters, None on the last page.
    """
    head = [f'{{"schemas":["{LIST_RESPONSE_SCHEMA}"]']
    if total is not None:
        head.append(f'"totalResults":{total}')
    if start_index is not None:
        head.append(f'"startIndex":{start_index}')
    head.append(f'"itemsPerPage":{items_per_page}')
    if next_cursor is not None:
        head.append(f'"nextCursor":"{next_cursor}"')
    return ",".join(head).encode() + b',"Resources":[' + b",".join(resources) + b"]}"


def etag(version: int) -> str:
    """The weak entity tag of a version, for meta.version and the ETag header (RFC 7644 3.14)."""
    return f'W/"{version}"'


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z. Raises ValueError for a time without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone is not an instant")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _meta(resource_type: str, created: datetime, modified: datetime, version: int, location: str) -> str:
    return (
        f'"meta":{{"resourceType":{_quoted(resource_type)},"created":"{timestamp(created)}",'
        f'"lastModified":"{timestamp(modified)}","location":{_quoted(location)},"version":{_quoted(etag(version))}}}'
    )


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
