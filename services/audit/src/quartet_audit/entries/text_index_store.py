"""SQL of the index of terms: what is not in it, entries, and the rows of blocks and segments. Never commits."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.term_domain import Parts
from quartet_audit.entries.text_index_domain import BLOCK, SEGMENT, SLOTS, Block, encode_key
from quartet_common.data.connections import Connection

FIND_BEHIND = """
SELECT tenant_id FROM logs
WHERE size / $2 > $1 / $2 * (SELECT count(*) FROM term_blocks t WHERE t.tenant_id = logs.tenant_id)
                  + (SELECT count(*) FROM term_segments t WHERE t.tenant_id = logs.tenant_id)
AND NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = logs.tenant_id) AND tenant_id <> ''
ORDER BY tenant_id"""

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 4096))"
IS_INDEXED = """
SELECT EXISTS (SELECT FROM term_blocks WHERE tenant_id = $1 AND block = $2)
    OR EXISTS (SELECT FROM term_segments WHERE tenant_id = $1 AND segment = $3)"""

# OFFSET 0: see entry_store.CONTENTS
READ_PARTS = """
SELECT e.sequence, e.time, e.facts, p.actor, p.resource, p.source, p.changes
FROM entries e LEFT JOIN LATERAL (
    SELECT * FROM personal_parts WHERE tenant_id = e.tenant_id AND sequence = e.sequence OFFSET 0
) AS p ON true
WHERE e.tenant_id = $1 AND e.sequence >= $2 AND e.sequence < $3 ORDER BY e.sequence"""

READ_SOME = """
SELECT sequence, e.facts, p.actor, p.resource, p.source, p.changes
FROM unnest($2::bigint[]) AS wanted (sequence)
CROSS JOIN LATERAL (
    SELECT facts FROM entries WHERE tenant_id = $1 AND sequence = wanted.sequence OFFSET 0
) AS e
LEFT JOIN LATERAL (
    SELECT * FROM personal_parts WHERE tenant_id = $1 AND sequence = wanted.sequence OFFSET 0
) AS p USING (sequence)"""

ADD_BLOCK = """
INSERT INTO term_blocks (tenant_id, block, first_time, last_time, unlisted) VALUES ($1, $2, $3, $4, $5)"""
POSTING_COLUMNS = ("tenant_id", "slot", "block", "postings")

ADD_SEGMENT = """
INSERT INTO term_segments (tenant_id, segment, first_time, last_time, unlisted, postings)
VALUES ($1, $2, $3, $4, $5, $6)"""
READ_SEGMENTS = """
SELECT segment, first_time, last_time, unlisted, postings FROM term_segments
WHERE tenant_id = $1 AND segment >= $2 AND segment < $3 ORDER BY segment"""
REMOVE_SEGMENTS = "DELETE FROM term_segments WHERE tenant_id = $1 AND segment >= $2 AND segment < $3"

FIND_BLOCKS = """
SELECT block FROM term_postings WHERE tenant_id = $1 AND slot = $2 AND position($3::bytea IN postings) > 0"""

READ_BLOCKS = """
SELECT block * $5 AS start, first_time, last_time, nullif(unlisted, '{{}}') AS unlisted, NULL::bytea AS postings
FROM term_blocks
WHERE tenant_id = $1 AND last_time >= $2 AND first_time <= $3 AND (block = ANY($4) OR unlisted <> '{{}}')
UNION ALL
SELECT segment * $6, first_time, last_time, nullif(unlisted, '{{}}'), postings FROM term_segments
WHERE tenant_id = $1 AND last_time >= $2 AND first_time <= $3
ORDER BY {order}, start LIMIT $8 OFFSET $7"""

READ_BLOCKS_OF_RANGE = """
SELECT block * $4 AS start, first_time, last_time, nullif(unlisted, '{}') AS unlisted, NULL::bytea AS postings
FROM term_blocks WHERE tenant_id = $1 AND block >= $2 / $4 AND block <= ($3 - 1) / $4
UNION ALL
SELECT segment * $5, first_time, last_time, nullif(unlisted, '{}'), postings
FROM term_segments WHERE tenant_id = $1 AND segment >= $2 / $5 AND segment <= ($3 - 1) / $5
ORDER BY start"""

READ_POSTINGS = """
SELECT slot, block, postings FROM unnest($2::smallint[]) AS wanted (slot) CROSS JOIN LATERAL (
    SELECT block, postings FROM term_postings
    WHERE tenant_id = $1 AND slot = wanted.slot AND block = ANY($3)
) AS found"""

# Between the first entry, each block and segment, and the end of the log.
FIND_UNINDEXED = """
SELECT first, after FROM (
    SELECT end_of_block AS first, lead(start, 1, start) OVER (ORDER BY start, end_of_block) AS after FROM (
        SELECT block * $2 AS start, (block + 1) * $2 AS end_of_block FROM term_blocks WHERE tenant_id = $1
        UNION ALL
        SELECT segment * $3, (segment + 1) * $3 FROM term_segments WHERE tenant_id = $1
        UNION ALL
        SELECT min(sequence), min(sequence) FROM entries WHERE tenant_id = $1
        UNION ALL
        SELECT size, size FROM logs WHERE tenant_id = $1
    ) AS ends
) AS gaps
WHERE first < after"""


class IndexedBlock(NamedTuple):
    """A block or segment: its first sequence, the times of its entries, and the places of entries without postings,
    if any. A segment has its `postings`.
    """

    start: int
    first_time: datetime
    last_time: datetime
    unlisted: list[int] | None
    postings: bytes | None

    @property
    def end(self) -> int:
        """The sequence behind its last entry."""
        return self.start + (BLOCK if self.postings is None else SEGMENT)


async def find_behind(connection: Connection) -> list[str]:
    """The tenants whose logs have full segments that are not in the index."""
    return [row["tenant_id"] for row in await connection.fetch(FIND_BEHIND, BLOCK, SEGMENT)]


async def lock(connection: Connection, tenant: str) -> None:
    """Wait for removals of personal parts of `tenant`, and hold new ones until the transaction ends."""
    await connection.execute(LOCK, tenant)


async def is_indexed(connection: Connection, tenant: str, start: int) -> bool:
    """Whether the entry at `start`, the first of a segment, is in the index."""
    return bool(await connection.fetchval(IS_INDEXED, tenant, start // BLOCK, start // SEGMENT))


async def read_range(connection: Connection, tenant: str, start: int, end: int) -> list[Parts]:
    """Time and parts of the entries from `start` to before `end`, in the order of the log."""
    return [dict(row) for row in await connection.fetch(READ_PARTS, tenant, start, end)]


async def read_parts(connection: Connection, tenant: str, sequences: Sequence[int]) -> dict[int, Parts]:
    """The parts of the entries at `sequences`."""
    return {row["sequence"]: dict(row) for row in await connection.fetch(READ_SOME, tenant, sequences)}


async def add_block(connection: Connection, tenant: str, number: int, block: Block) -> None:
    """Write the index of a block that is not in it."""
    times = block.first_time, block.last_time
    await connection.execute(ADD_BLOCK, tenant, number, *times, block.unlisted)
    rows = [(tenant, slot, number, postings) for slot, postings in block.postings.items()]
    await connection.copy_records_to_table("term_postings", records=rows, columns=POSTING_COLUMNS)


async def add_segment(connection: Connection, tenant: str, number: int, segment: Block) -> None:
    """Write the index of a segment that is not in it."""
    times = segment.first_time, segment.last_time
    await connection.execute(ADD_SEGMENT, tenant, number, *times, segment.unlisted, segment.postings[0])


async def read_segments(connection: Connection, tenant: str, block: int) -> list[Block]:
    """The segments of a block that are in the index."""
    rows = await connection.fetch(READ_SEGMENTS, tenant, *_segments(block))
    return [Block(row["first_time"], row["last_time"], {0: row["postings"]}, row["unlisted"]) for row in rows]


async def remove_segments(connection: Connection, tenant: str, block: int) -> None:
    """Remove the segments of a block."""
    await connection.execute(REMOVE_SEGMENTS, tenant, *_segments(block))


def _segments(block: int) -> tuple[int, int]:
    """The first segment of a block, and that of the next one."""
    return block * BLOCK // SEGMENT, (block + 1) * BLOCK // SEGMENT


async def find_blocks(connection: Connection, tenant: str, keys: Sequence[int]) -> set[int]:
    """The blocks that seem to have all of `keys`."""
    found: set[int] | None = None
    for key in keys:
        rows = await connection.fetch(FIND_BLOCKS, tenant, key % SLOTS, encode_key(key))
        having = {row["block"] for row in rows}
        found = having if found is None else found & having
        if not found:
            break
    return found or set()


async def read_blocks(
    connection: Connection, tenant: str, search: Search, numbers: Collection[int], known: int, most: int
) -> list[IndexedBlock]:
    """The blocks with `numbers`, those with entries without postings, and the segments, that may have entries in the
    time of `search`: in the order of pages, `most` of them behind the first `known`.
    """
    sql = READ_BLOCKS.format(order="last_time DESC" if search.newest_first else "first_time")
    times = search.after.time, search.before.time
    rows = await connection.fetch(sql, tenant, *times, list(numbers), BLOCK, SEGMENT, known, most)
    return [IndexedBlock(*row) for row in rows]


async def read_blocks_of_range(connection: Connection, tenant: str, start: int, end: int) -> list[IndexedBlock]:
    """The blocks and segments with entries from `start` to before `end`, in the order of the log."""
    rows = await connection.fetch(READ_BLOCKS_OF_RANGE, tenant, start, end, BLOCK, SEGMENT)
    return [IndexedBlock(*row) for row in rows]


async def read_postings(
    connection: Connection, tenant: str, keys: Sequence[int], blocks: Sequence[int]
) -> dict[tuple[int, int], bytes]:
    """The postings of the slots of `keys` in `blocks`, by slot and block."""
    slots = sorted({key % SLOTS for key in keys})
    rows = await connection.fetch(READ_POSTINGS, tenant, slots, blocks)
    return {(row["slot"], row["block"]): row["postings"] for row in rows}


async def find_unindexed(connection: Connection, tenant: str) -> list[tuple[int, int]]:
    """The ranges of sequences that are not in the index; the end of each is exclusive."""
    return [(row["first"], row["after"]) for row in await connection.fetch(FIND_UNINDEXED, tenant, BLOCK, SEGMENT)]
