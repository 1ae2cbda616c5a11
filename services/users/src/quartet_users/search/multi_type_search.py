"""Searches over several resource types (RFC 7644 section 3.4.2.1): one type after the other, or merged by sortBy."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import orjson

from quartet_common.core.errors import BadRequestError
from quartet_common.web.cursors import decode_cursor, encode_cursor
from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import invalid_cursor, invalid_value, too_many
from quartet_scim.page_sql import PAGE_BYTES
from quartet_scim.paging import Page
from quartet_scim.query import Query
from quartet_scim.sorting import Rank, rank
from quartet_scim_http.searching import Found

MAX_JOINED = 1000
"""The last position of a sorted list over several types: so many resources of each type are read for it."""

T = TypeVar("T")
Search: TypeAlias = Callable[[Query], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Searched:
    """One type to search: its compiled schemas and its search function."""

    compiled: CompiledType
    search: Search


async def search_all(query: Query, types: Sequence[Searched], tenant: str) -> Found:
    """The page of all resources of `types`, one type after the other, or merged by sortBy.

    Raises ScimError 400: tooMany for a sorted page beyond the first 1,000 resources; and as `search` does.
    """
    orders = [one.compiled.sorter.order(query.sort_by, unknown_is_absent=True) for one in types if query.sort_by]
    if query.sort_by and not any(orders):
        raise invalid_value("sortBy names an attribute that no resource type has.")
    if len(types) == 1:
        return await types[0].search(query)
    context = ["", tenant, query.filter or "", query.sort_by or "", str(query.descending)]
    if query.sort_by:
        return await _joined(query, types, context)
    is_by_cursor = query.cursor is not None and query.page.count > 0
    return await (_by_cursor(query, types, context) if is_by_cursor else _by_index(query, types))


async def _by_index(query: Query, types: Sequence[Searched]) -> Found:
    """A page by index. If it ends early within a type because of its bytes, it has no resources of the next ones."""
    resources: list[bytes] = []
    total, is_full = 0, False
    for one in types:
        page = Page(max(1, query.page.start_index - total), 0 if is_full else query.page.count - len(resources))
        found = await one.search(query.at(page))
        resources += found.resources
        total += found.total or 0
        rest = (found.total or 0) - page.offset
        is_full = is_full or len(found.resources) < min(page.count, rest) or _is_long(resources)
    return Found(resources, total)


async def _by_cursor(query: Query, types: Sequence[Searched], context: Sequence[str]) -> Found:
    """A page by cursor, which has the current type and the cursor within it."""
    at, inner = _read(query.cursor, context, tuple[int, str], (0, ""))
    resources: list[bytes] = []
    while 0 <= at < len(types):
        left = query.page.count - len(resources)
        if not left:
            break
        found = await types[at].search(query.at(Page(1, left), inner))
        resources += found.resources
        at, inner = (at, found.next_cursor) if found.next_cursor else (at + 1, "")
        if (len(found.resources) < left and inner) or _is_long(resources):
            break
    is_more = at < len(types)
    return Found(resources, None, encode_cursor((at, inner), context) if is_more else None)


async def _joined(query: Query, types: Sequence[Searched], context: Sequence[str]) -> Found:
    """A page of the sorted list of all types: finds the types of its resources by rank, then reads the resources."""
    offset = query.page.offset if query.cursor is None else _read(query.cursor, context, int, 0)
    end = offset + query.page.count
    if not 0 <= offset <= end <= MAX_JOINED:
        raise too_many(f"A sorted search over all types returns only the first {MAX_JOINED} results. Search one type.")
    ranked: list[tuple[Rank, int]] = []
    total = 0
    for number, one in enumerate(types):
        ranks, count = await _ranks(query, one, end + 1)
        ranked += [(found, number) for found in ranks]
        total += count
    ranked.sort(reverse=query.descending)
    chosen = [number for _, number in ranked[offset:end]]
    pages = []
    for number, one in enumerate(types):
        before = sum(1 for _, other in ranked[:offset] if other == number)
        page = Page(before + 1, chosen.count(number))
        pages.append(iter((await one.search(query.at(page))).resources if page.count else ()))
    resources: list[bytes] = []
    for number in chosen:
        shown = next(pages[number], None)
        if shown is None or (resources and _is_long(resources)):
            break  # the page of that type ends early because of its bytes
        resources.append(shown)
    if query.cursor is None:
        return Found(resources, total)
    reached = offset + len(resources)
    is_more = query.page.count > 0 and len(resources) > 0 and total > reached
    return Found(resources, total, encode_cursor(reached, context) if is_more else None)


async def _ranks(query: Query, searched: Searched, depth: int) -> tuple[list[Rank], int]:
    """The ranks of the first `depth` resources of a type, and the number of all."""
    name = query.sort_by or ""
    order = searched.compiled.sorter.order(name, descending=query.descending, unknown_is_absent=True)
    decisive = () if order is None else (order.target.steps[0].key,)
    bare = Query(Page(1, depth), query.filter, query.sort_by, query.descending, attributes=("id", *decisive))
    found = await searched.search(bare)
    ranks = [rank(order, orjson.loads(one)) for one in found.resources]
    total = found.total or 0
    while found.resources and len(ranks) < min(depth, total):  # a page may end early because of its bytes
        found = await searched.search(bare.at(Page(len(ranks) + 1, depth - len(ranks))))
        ranks += [rank(order, orjson.loads(one)) for one in found.resources]
    return ranks, total


def _is_long(resources: Sequence[bytes]) -> bool:
    return sum(map(len, resources)) >= PAGE_BYTES


def _read(cursor: str | None, context: Sequence[str], kind: type[T], first: T) -> T:
    if not cursor:
        return first
    try:
        return decode_cursor(cursor, context, kind)
    except BadRequestError:
        raise invalid_cursor() from None
