"""Reads the next entries of a log: for the worker that delivers a stream, and for live tails."""

from collections.abc import Sequence
from dataclasses import dataclass

from quartet_audit.config import AuditConfig
from quartet_audit.entries import entry_range_store, entry_store
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_audit.entries.entry_domain import Search
from quartet_audit.streams.stream_message_domain import BatchEntry
from quartet_common.runtime.container import AppContainer

Container = AppContainer[AuditConfig]

MAX_ENTRIES = 200
"""Entries of a batch."""
MAX_BYTES = 256 * 1024
"""Bytes of JSON of a batch, unless its only entry has more."""
MAX_SCANNED = 5_000
"""Entries that are looked at for a batch."""


@dataclass(frozen=True)
class Batch:
    """Entries that pass a search, in order; `end` is where the next batch begins, `size` the size of the log."""

    entries: Sequence[BatchEntry]
    end: int
    size: int


async def read_batch(
    container: Container,
    tenant: str,
    search: Search,
    start: int,
    end: int | None = None,
    *,
    leaves: bool = False,
) -> Batch:
    """The entries of a log that `search` finds from `start` on, to before `end` at most, with their `leaves` if wanted.

    A batch without entries may have an `end` beyond `start`.
    """
    async with container.database.snapshot() as connection:
        size = await entry_range_store.read_size(connection, tenant)
        limit = min(start + MAX_SCANNED, size if end is None else min(end, size))
        if start >= limit:
            return Batch([], start, size)
        search = await DigestKeys.of(container).complete(connection, tenant, search)
        found = await entry_range_store.find_sequences(connection, tenant, search, start, limit, MAX_ENTRIES)
        shown = await entry_store.read_entries(connection, tenant, found.sequences, MAX_BYTES)
        read = found.sequences[: len(shown)]
        added = await entry_range_store.read_leaves(connection, tenant, read) if leaves else [b""] * len(read)
    entries = [BatchEntry(*each) for each in zip(read, shown, added, strict=True)]
    return Batch(entries, found.end if len(read) == len(found.sequences) else read[-1] + 1, size)
