"""Use case of the index of terms: a schedule of the worker that adds entries to it, some time after they are written.

Every 512 entries become a segment, and eight segments a block. What was not indexed for long, or was removed from the
index by an erasure, becomes a block at once.
"""

import asyncio
import time

from quartet_audit.entries import text_index_store as store
from quartet_audit.entries.text_index_domain import BLOCK, SEGMENT, BlockBuilder, Range, merge, ranges
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.schedule import Schedule
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer

INTERVAL = 2.0
"""Seconds between two looks for blocks."""
STEP = 128
"""Entries that are read and prepared at a time: they have up to 64 KiB each, all together some 8 MB."""
TURN = 16
"""Blocks or segments of one tenant after which others take their turn."""
PAUSE = 3.0
"""The pause after each of them, as a multiple of the time it took: the consumer of the same worker has the rest."""

Container = AppContainer[ServiceConfig]


def indexing(container: Container) -> Schedule:
    """The schedule by which a worker builds the index."""

    async def run() -> None:
        await index_all(container)

    return Schedule("terms-index", INTERVAL, run)


async def index_all(container: Container) -> None:
    """Add all blocks and segments that are full, the newest first; tenants take turns."""
    is_behind = True
    while is_behind:
        async with container.database.connection() as connection:
            tenants = await store.find_behind(connection)
        is_behind = any([await _index_some(container, tenant) for tenant in tenants])


async def _index_some(container: Container, tenant: str) -> bool:
    """Add up to TURN blocks or segments of a log; False if there are none, or if their entries are removed."""
    async with container.database.connection() as connection:
        missing = ranges(await store.find_unindexed(connection, tenant))
    is_added = False
    for one in missing[:TURN]:
        begun = time.monotonic()
        async with container.database.transaction() as connection:
            await store.lock(connection, tenant)
            if not await store.is_indexed(connection, tenant, one.start):
                is_added |= await _add(connection, tenant, one)
        await asyncio.sleep(PAUSE * (time.monotonic() - begun))
    return is_added


async def _add(connection: Connection, tenant: str, missing: Range) -> bool:
    builder, times = BlockBuilder(missing.length), []
    for first in range(missing.start, missing.start + missing.length, STEP):
        rows = await store.read_range(connection, tenant, first, first + STEP)
        if len(rows) < STEP:
            return False
        times += [row["time"] for row in rows]
        await asyncio.to_thread(builder.add, rows)
    built = await asyncio.to_thread(builder.build, min(times), max(times))
    if missing.length == BLOCK:
        await store.add_block(connection, tenant, missing.start // BLOCK, built)
    else:
        await store.add_segment(connection, tenant, missing.start // SEGMENT, built)
        await _merge(connection, tenant, missing.start // BLOCK)
    return True


async def _merge(connection: Connection, tenant: str, block: int) -> None:
    """Replace the segments of a block by the block once it has all of them."""
    segments = await store.read_segments(connection, tenant, block)
    if len(segments) == BLOCK // SEGMENT:
        await store.remove_segments(connection, tenant, block)
        await store.add_block(connection, tenant, block, await asyncio.to_thread(merge, segments))
