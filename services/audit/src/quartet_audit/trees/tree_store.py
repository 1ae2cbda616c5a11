"""SQL of trees: locks logs, appends leaves with the tiles and frontiers over them, and reads leaves and tiles.

A log is that of a tenant, by its id, or the deployment log.
"""

from collections.abc import Collection, Mapping, Sequence

import asyncpg

from quartet_audit.trees.tree_domain import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    TileAddress,
    leaf_hash,
    range_root,
    split_hashes,
    tile_width,
    tiles_of,
    tree_root,
)
from quartet_common.core.errors import ServiceError
from quartet_common.data.connections import Connection

DEPLOYMENT_LOG = ""

# functions of the owner (0009_owner.sql): the role that serves may not update these tables
LOCK_LOGS = """
SELECT tenant_id, size, frontier FROM lock_logs(ARRAY(
    SELECT log FROM unnest($1::text[]) AS log
    WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = log)))"""
SET_FRONTIERS = "SELECT grow_logs($1::text[], $2::bigint[], $3::bytea[])"

READ_FRONTIERS = "SELECT tenant_id, size, frontier FROM logs WHERE tenant_id = ANY($1::text[])"

LEAF_COLUMNS = ("tenant_id", "sequence", "leaf")

READ_LEAVES = "SELECT leaf FROM leaves WHERE tenant_id = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence"

READ_RANGES = """
SELECT wanted.tenant_id, leaf FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS wanted (tenant_id, first, after)
CROSS JOIN LATERAL (
    SELECT sequence, leaf FROM leaves
    WHERE tenant_id = wanted.tenant_id AND sequence >= first AND sequence < after ORDER BY sequence
) AS found
ORDER BY wanted.tenant_id, sequence"""

ADD_TILES = """
INSERT INTO tiles (tenant_id, level, index, hashes)
SELECT tenant_id, 0, index, hashes
FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS new (tenant_id, index, hashes)"""

GROW_TILES = """
SELECT tenant_id, hashes FROM grow_tiles($1::smallint, $2::text[], $3::bigint[], $4::bytea[])
WHERE length(hashes) = $5 ORDER BY tenant_id, index"""

READ_TILES = """
SELECT level, index, hashes FROM unnest($2::smallint[], $3::bigint[]) AS wanted (level, index)
JOIN tiles USING (level, index) WHERE tenant_id = $1"""


class DamagedLogError(ServiceError):
    """503: tiles or leaves of a log below its checkpoint are not stored."""

    def __init__(self, log: str) -> None:
        name = f"of the tenant {log}" if log else "of the deployment"
        detail = f"Tiles or leaves of the log {name} are missing in the database. Restore them from a backup."
        super().__init__(503, "log_damaged", detail, {"Retry-After": "60"})


async def lock_logs(connection: Connection, logs: Collection[str]) -> dict[str, Frontier]:
    """Lock `logs` until the transaction ends and return the frontier of each; a new log is empty. Those of deleted
    tenants are left out.

    Logs are locked in sorted order, so that two transactions cannot deadlock.
    """
    return _frontiers(await connection.fetch(LOCK_LOGS, sorted(logs)))


async def read_frontiers(connection: Connection, logs: Collection[str]) -> dict[str, Frontier]:
    """The frontiers of `logs`, of those to which something was ever appended, or that are locked for the first time."""
    return _frontiers(await connection.fetch(READ_FRONTIERS, list(logs)))


def _frontiers(rows: Sequence[asyncpg.Record]) -> dict[str, Frontier]:
    return {row["tenant_id"]: Frontier.decode(row["size"], row["frontier"]) for row in rows}


async def get_frontier(connection: Connection, log: str) -> Frontier | None:
    """The frontier of a log, or None if nothing was ever appended to it."""
    return (await read_frontiers(connection, [log])).get(log)


async def append_leaves(
    connection: Connection, frontiers: Mapping[str, Frontier], leaves: Mapping[str, Sequence[bytes]]
) -> dict[str, Frontier]:
    """Append `leaves` to each log and return its frontier afterwards; `frontiers` is what `lock_logs` returned.

    The cost is that of the leaves, whatever the size of the log: some tiles are completed, all others stay.
    """
    rows = [
        (log, sequence, leaf)
        for log, added in leaves.items()
        for sequence, leaf in enumerate(added, frontiers[log].size)
    ]
    await connection.copy_records_to_table("leaves", records=rows, columns=LEAF_COLUMNS)
    hashes = {log: [leaf_hash(leaf) for leaf in added] for log, added in leaves.items()}
    await _add_tiles(connection, frontiers, hashes)
    grown = {log: frontiers[log].grow(added) for log, added in hashes.items()}
    sizes, encoded = [frontier.size for frontier in grown.values()], [frontier.encode() for frontier in grown.values()]
    await connection.execute(SET_FRONTIERS, list(grown), sizes, encoded)
    return grown


async def _add_tiles(
    connection: Connection, frontiers: Mapping[str, Frontier], hashes: Mapping[str, Sequence[bytes]]
) -> None:
    """Write the tiles that leaves with `hashes` complete, and their roots into the tiles of the levels above."""
    filled = [log for log, added in hashes.items() if frontiers[log].size % TILE_WIDTH + len(added) >= TILE_WIDTH]
    if not filled:
        return
    starts = {log: frontiers[log].size // TILE_WIDTH for log in filled}
    partial = await _partial_tiles(connection, {log: frontiers[log].size for log in filled})
    tiles = [
        (log, starts[log] + number, tile)
        for log in filled
        for number, tile in enumerate(_full([*partial[log], *hashes[log]]))
    ]
    encoded = [(log, index, b"".join(tile)) for log, index, tile in tiles]
    await connection.execute(ADD_TILES, *map(list, zip(*encoded, strict=True)))
    level, roots = 1, [(log, tree_root(tile)) for log, _, tile in tiles]
    while roots:
        sizes = {log: frontiers[log].size >> TILE_HEIGHT * level for log in filled}
        roots = await _grow_tiles(connection, level, sizes, roots)
        level += 1


def _full(hashes: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The full tiles that `hashes` begin with."""
    ends = range(TILE_WIDTH, len(hashes) + 1, TILE_WIDTH)
    return [hashes[end - TILE_WIDTH : end] for end in ends]


async def _partial_tiles(connection: Connection, sizes: Mapping[str, int]) -> dict[str, list[bytes]]:
    """The hashes of the last tile at level 0 of each log, which is not full."""
    found: dict[str, list[bytes]] = {log: [] for log in sizes}
    partial = {log: size for log, size in sizes.items() if size % TILE_WIDTH}
    if partial:
        firsts = [size - size % TILE_WIDTH for size in partial.values()]
        for row in await connection.fetch(READ_RANGES, list(partial), firsts, list(partial.values())):
            found[row["tenant_id"]].append(leaf_hash(row["leaf"]))
    return found


async def _grow_tiles(
    connection: Connection, level: int, sizes: Mapping[str, int], added: Sequence[tuple[str, bytes]]
) -> list[tuple[str, bytes]]:
    """Append (log, hash) to the tiles of `level`, where a log has `sizes` hashes; return the roots of full tiles."""
    ends = dict(sizes)
    tiles: dict[tuple[str, int], list[bytes]] = {}
    for log, one in added:
        tiles.setdefault((log, ends[log] // TILE_WIDTH), []).append(one)
        ends[log] += 1
    rows = [(log, index, b"".join(hashes)) for (log, index), hashes in tiles.items()]
    full = TILE_WIDTH * HASH_BYTES
    found = await connection.fetch(GROW_TILES, level, *map(list, zip(*rows, strict=True)), full)
    return [(row["tenant_id"], tree_root(split_hashes(row["hashes"]))) for row in found]


async def read_tiles(
    connection: Connection, log: str, addresses: Collection[TileAddress], size: int
) -> dict[TileAddress, list[bytes]]:
    """The hashes of the tiles at `addresses` in the tree that a log had at `size`; none for tiles beyond its end."""
    wanted = {address: width for address in addresses if (width := tile_width(address, size))}
    levels, indexes = [address.level for address in wanted], [address.index for address in wanted]
    rows = await connection.fetch(READ_TILES, log, levels, indexes)
    found = {TileAddress(row["level"], row["index"]): split_hashes(row["hashes"]) for row in rows}
    for address in wanted.keys() - found.keys():
        if address.level == 0:
            start = address.index * TILE_WIDTH
            leaves = await read_leaves(connection, log, start, start + wanted[address])
            found[address] = [leaf_hash(leaf) for leaf in leaves]
    return {address: hashes[: wanted[address]] for address, hashes in found.items()}


async def range_roots(connection: Connection, log: str, ranges: Sequence[tuple[int, int]], size: int) -> list[bytes]:
    """The roots over `ranges` of leaves in the tree that a log had at `size`. Raises DamagedLogError (503)."""
    addresses = tiles_of(ranges)
    tiles = await read_tiles(connection, log, addresses, size) if addresses else {}
    if any(len(tiles.get(address, ())) < tile_width(address, size) for address in addresses):
        raise DamagedLogError(log)
    return [range_root(start, end, tiles.__getitem__) for start, end in ranges]


async def read_leaves(connection: Connection, log: str, start: int, end: int) -> list[bytes]:
    """The leaves of a log from `start` to before `end`, as far as there are any."""
    return [row["leaf"] for row in await connection.fetch(READ_LEAVES, log, start, end)]
