"""SQL of bundles: ranges of entries with their leaves, their parts and what was erased of them. Never commits."""

from typing import Any

import asyncpg

from quartet_audit.exports.bundle_domain import BundledEntry, ExpiredEntry
from quartet_audit.leaves.leaf_domain import PARTS, Part
from quartet_audit.retention.retention_domain import PrunedLog
from quartet_audit.retention.retention_store import read_pruned
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import TILE_WIDTH, TileAddress, leaf_hash
from quartet_common.data.connections import Connection

READ_ENTRIES = """
SELECT sequence, l.leaf, e.facts, e.facts_salt, p.actor, p.actor_salt, p.resource, p.resource_salt,
       p.source, p.source_salt, p.changes, p.changes_salt
FROM leaves l
LEFT JOIN entries e USING (tenant_id, sequence)
LEFT JOIN personal_parts p USING (tenant_id, sequence)
WHERE tenant_id = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence"""

READ_ERASED = """
SELECT sequence, part, erased_at, request_id FROM erased_parts
WHERE tenant_id = $1 AND sequence >= $2 AND sequence < $3"""


async def read_entries(connection: Connection, tenant: str, start: int, end: int) -> list[BundledEntry | ExpiredEntry]:
    """The entries of `tenant` from `start` to before `end`, which are in one tile.

    Erasures and what has expired are read last: a part or an entry that is gone by then was noted before.
    """
    rows = {row["sequence"]: row for row in await connection.fetch(READ_ENTRIES, tenant, start, end)}
    erased: dict[int, dict[str, dict[str, Any]]] = {}
    for one in await connection.fetch(READ_ERASED, tenant, start, end):
        erased.setdefault(one["sequence"], {})[one["part"]] = {"time": one["erased_at"], "request": one["request_id"]}
    kept: dict[int, BundledEntry | ExpiredEntry] = {
        sequence: BundledEntry(sequence, row["leaf"], _parts(row), erased.get(sequence, {}))
        for sequence, row in rows.items()
    }
    gone = [sequence for sequence in range(start, end) if sequence not in rows or rows[sequence]["facts"] is None]
    pruned = await read_pruned(connection, tenant) if gone else None
    if pruned is not None:
        hashes = await _pruned_hashes(connection, tenant, pruned, start)
        hashes |= {sequence: leaf_hash(row["leaf"]) for sequence, row in rows.items()}
        expired = [sequence for sequence in gone if sequence < pruned.entries and sequence in hashes]
        kept |= {sequence: ExpiredEntry(sequence, hashes[sequence]) for sequence in expired}
    return [kept[sequence] for sequence in sorted(kept)]


async def _pruned_hashes(connection: Connection, tenant: str, pruned: PrunedLog, start: int) -> dict[int, bytes]:
    """The leaf hashes of the tile with the entry `start` by sequence, if its leaves are pruned."""
    tile = TileAddress(0, start // TILE_WIDTH)
    tiles = await tree_store.read_tiles(connection, tenant, [tile], pruned.minimum_index)
    return dict(enumerate(tiles.get(tile, []), tile.index * TILE_WIDTH))


def _parts(row: asyncpg.Record) -> dict[str, Part]:
    return {name: Part(row[name], row[f"{name}_salt"]) for name in PARTS if row[name] is not None}
