"""Use case: a histogram of a log."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from msgspec import UNSET

from quartet_audit.config import AuditConfig
from quartet_audit.entries import histogram_store, text_search_store
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.histogram_models import Bucket, Histogram
from quartet_audit.entries.histogram_parameters import HistogramSearch
from quartet_audit.entries.histogram_store import Count
from quartet_common.core.errors import BadRequestError
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer

MAX_READ = 1_000_000
"""Entries that one histogram may read."""
MAX_CHECKED = 20_000
"""Entries that one histogram may check by their parts, for an address, a trace id or a text."""
MAX_COUNTS = 20_000
"""Counts of one answer."""


async def count_entries(container: AppContainer[AuditConfig], tenant: str, asked: HistogramSearch) -> Histogram:
    """The histogram that answers `asked`. Raises BadRequestError (400) if it costs too much."""
    async with container.database.snapshot() as connection:
        search = await DigestKeys.of(container).complete(connection, tenant, asked.search)
        if search.needs_parts:
            sequences = await _find(connection, tenant, search)
            counts = await histogram_store.count_found(connection, tenant, sequences, asked.interval, asked.dimension)
        else:
            counts = await histogram_store.count(
                connection, tenant, search, asked.interval, asked.dimension, MAX_READ + 1
            )
    if sum(one.read for one in counts) > MAX_READ:
        raise _too_many(f"more than {MAX_READ:,} entries would be read")
    passing = [one for one in counts if one.passing]
    if len(passing) > MAX_COUNTS:
        raise _too_many(f"the answer would have more than {MAX_COUNTS:,} counts of {asked.dimension}")
    return _histogram(passing, has_values=asked.dimension is not None)


async def _find(connection: Connection, tenant: str, search: Search) -> list[int]:
    """The sequences of all entries that `search` finds, page by page."""
    rest, found = replace(search, limit=MAX_CHECKED), list[int]()
    for _ in range(MAX_CHECKED // text_search_store.MAX_CHECKED):
        page = await text_search_store.read_page(connection, tenant, rest)
        found += page.sequences
        if page.next is None:
            return found
        rest = rest.beyond(page.next)
    raise _too_many(f"more than {MAX_CHECKED:,} entries would be checked for address, trace_id or text")


def _too_many(what: str) -> BadRequestError:
    return BadRequestError(
        f"from and to are too far apart: {what}. Use a shorter time or more filters.", "too_many_entries"
    )


def _histogram(counts: Sequence[Count], *, has_values: bool) -> Histogram:
    buckets = []
    for start, some in groupby(counts, attrgetter("start")):
        values = {one.value: one.passing for one in some}
        buckets.append(Bucket(start, sum(values.values()), values if has_values else UNSET))
    return Histogram(buckets)
