"""Lists and searches: reads a page of one resource type, by index or by cursor (RFC 7644 section 3.4.2, RFC 9865)."""

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

from quart import Response

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import BadRequestError
from quartet_common.core.fair_share import HOLDER
from quartet_common.core.offload import LARGE_BODY
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.web.cursors import decode_cursor, encode_cursor
from quartet_common.web.service_request import FREE_BYTES, hold_bytes
from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import invalid_cursor, too_many
from quartet_scim.filters import Sql
from quartet_scim.http import CONTENT_TYPE
from quartet_scim.page_sql import PAGE_BYTES, PageSql, Place, Position, Selection, page_sql, select
from quartet_scim.projection import Projection
from quartet_scim.query import Query
from quartet_scim.render import list_response
from quartet_scim_http import list_store

USUAL_BYTES = 2048
"""The size of most resources in bytes at most: the first read of a page is charged for so many bytes of each."""
COPIES = 2
"""The number of copies of a page's resources in memory while it is made."""
TOO_SLOW = (
    "The query would read too many resources. Filter by userName, externalId, displayName of a group, id or the "
    "value of an e-mail address with eq, or use a narrower filter."
)

Row: TypeAlias = Any
"""A row of a service with `id`, `sort_key`, `resource`, `bytes_so_far` and columns of its own."""


class Source(ABC):
    """Reads the resources of one type in one tenant for lists and searches."""

    place: ClassVar[Place]

    def __init__(self, container: AppContainer[ServiceConfig], tenant: str) -> None:
        self.database = container.database
        self.searches = container.searches
        self.limit = container.config.query_timeout
        self.tenant = tenant

    @abstractmethod
    async def rows(
        self, connection: Connection, page: PageSql, shown: Projection, limit: float | None, max_bytes: int
    ) -> Sequence[Row]:
        """The resources of a page with what `shown` needs (see `list_store.select_page`)."""

    @abstractmethod
    def show(self, row: Row) -> bytes:
        """The rendered resource with all attributes."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page: rendered resources, the number of all (None: not counted), and the cursor of the next page."""

    resources: Sequence[bytes]
    total: int | None
    next_cursor: str | None = None


async def search(
    query: Query, compiled: CompiledType, source: Source, context: Sequence[str], *, unknown_is_absent: bool = False
) -> Found:
    """The page of `query`, or its first 4 MiB (RFC 7644 section 3.4.2.4 allows fewer resources than `count`).

    `context` binds cursors to the route and the tenant. Raises ScimError 400: invalidFilter, invalidValue,
    invalidCursor; tooMany for a query that is too slow; ShareExceededError (429) and CapacityExceededError (503) if too
    many large pages, or searches without an index, run.
    """
    shown = compiled.projector.parse(query.attributes, query.excluded)
    selection = select(query, compiled, unknown_is_absent=unknown_is_absent)
    belongs = [*context, query.filter or "", query.sort_by or "", str(query.descending)]
    after = _position(query.cursor, belongs)
    rows, total = await _read(query, source, selection, after, shown)
    there = list(itertools.takewhile(_is_whole, rows[: query.page.count]))
    onward = encode_cursor(_last(there), belongs) if query.cursor is not None and len(rows) > len(there) else None
    resources = await _shown(there, source, shown)
    return Found(resources, total, onward)


async def _read(
    query: Query, source: Source, selection: Selection, after: Position | None, shown: Projection
) -> tuple[Sequence[Row], int | None]:
    """The rows of a page, those after its end without text, and the number of all resources.

    Memory is charged before the read: first for a page of usual size, and if that is too little, for the size that the
    rows have.
    """
    # one resource more than the page shows whether there is a next page
    wanted = query.page.count + (query.cursor is not None and query.page.count > 0)
    offset = query.page.offset if query.cursor is None else 0
    limit = None if selection.is_plain else source.limit
    is_indexed = selection.is_indexed(source.place.searched)
    max_bytes = min(PAGE_BYTES, max(FREE_BYTES, query.page.count * USUAL_BYTES))
    for is_last in (False, True):
        # the order of shares: bytes (none are held while waiting for them), `searches`, a connection
        if max_bytes > FREE_BYTES:
            await hold_bytes(COPIES * max_bytes)
        async with (
            nullcontext() if is_indexed else source.searches.hold(HOLDER.get()),
            source.database.connection() as connection,
        ):
            # a client that polls from the newest time in a page must not miss a write that commits later
            before = await list_store.settled_until(connection, source.tenant) if selection.is_by_time else None
            page = page_sql(selection, source.place, limit=wanted, offset=offset, after=after, before=before)
            try:
                rows = await source.rows(connection, page, shown, limit, max_bytes) if wanted else []
                if is_last or max_bytes == PAGE_BYTES or all(map(_is_whole, rows)):
                    return rows, await _total(query, selection, source, connection, len(rows), page.where, limit)
            except TimeoutError:
                if limit is None:
                    raise
                raise too_many(TOO_SLOW) from None
        max_bytes = min(PAGE_BYTES, rows[-1]["bytes_so_far"])
        del rows
    raise AssertionError("the second pass returns")


async def _shown(rows: Sequence[Row], source: Source, shown: Projection) -> list[bytes]:
    """The rendered resources; in a thread if that takes longer than other requests should wait."""

    def work() -> list[bytes]:
        return [shown.of(source.show(row)) for row in rows]

    size = 0 if shown.is_everything else sum(len(row["resource"]) for row in rows)
    return work() if size < LARGE_BODY else await asyncio.to_thread(work)


def _is_whole(row: Row) -> bool:
    return row["resource"] is not None


def list_answer(query: Query, found: Found) -> Response:
    """The ListResponse to `query`."""
    body = list_response(
        found.resources,
        total=found.total,
        start_index=query.page.start_index if query.cursor is None else None,
        items_per_page=len(found.resources),
        next_cursor=found.next_cursor,
    )
    return Response(body, content_type=CONTENT_TYPE)


async def _total(
    query: Query,
    selection: Selection,
    source: Source,
    connection: Connection,
    read: int,
    where: Sql,
    limit: float | None,
) -> int | None:
    """The number of all resources. A filter is not counted for a page by cursor (RFC 9865 section 2) unless count=0."""
    if selection.condition is None:
        return await list_store.count_all(connection, source.tenant, source.place)
    if query.cursor is not None and query.page.count:
        return None
    if query.page.offset == 0 and read < query.page.count:
        return read  # these are all
    return await list_store.count_found(connection, source.tenant, source.place, where, limit)


def _position(cursor: str | None, belongs: Sequence[str]) -> Position | None:
    if not cursor:
        return None
    try:
        key, last = decode_cursor(cursor, belongs, tuple[str | None, UUID])
    except BadRequestError:
        raise invalid_cursor() from None
    return Position(key, last)


def _last(rows: Sequence[Row]) -> tuple[str | None, UUID]:
    return rows[-1]["sort_key"], rows[-1]["id"]
