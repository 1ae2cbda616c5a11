"""The upgrade to trees: entries of the schema before it become entries in parts, with leaves and a tree over them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec

from quartet_audit.entries import entry_store
from quartet_audit.leaves.leaf_domain import PARTS, Part, encode_leaf
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import Frontier, TileAddress, leaf_hash, tile_width, tree_root
from quartet_cli.stack import Stack
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.data.migrations import find_migrations, migrate

SIZES = {"acme": 700, "globex": 256, "initech": 3, "umbrella": 1}
BEGUN = datetime(2026, 1, 31, 9, 0, 0, 123456, tzinfo=UTC)
PARTS_OF = """
SELECT e.facts, e.facts_salt, p.*, l.leaf FROM entries e JOIN personal_parts p USING (tenant_id, sequence)
JOIN leaves l USING (tenant_id, sequence) WHERE tenant_id = $1 ORDER BY sequence"""


@asynccontextmanager
async def empty_schema(servers: Stack) -> AsyncIterator[Connection]:
    """A connection to a schema of the test's own: the service's role may make none."""
    secret = (servers.home.secrets / "postgres/password").read_text().strip()
    port, schema = servers.state.ports["postgres"], f"test_{uuid4().hex}"
    owner = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", password=secret, database="quartet")
    try:
        await owner.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}")
        yield owner
        await owner.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        await owner.close()


def recorded(tenant: str, sequence: int) -> dict[str, Any]:
    """An entry as it was recorded before, its members in the order that they had."""
    return {
        "id": new_id(),
        "sequence": sequence,
        "time": BEGUN + timedelta(seconds=sequence),
        "recorded_time": BEGUN + timedelta(days=1),
        "tenant": tenant,
        "action": "users.user.created",
        "type": "quartet.users.user.created.v1",
        "actor": 'an ,"source_address":"actor"',
        "resource": {"type": "users", "id": str(sequence)},
        "outcome": "success",
        "trace_id": None,
        "source_address": "192.0.2.7" if sequence % 2 else None,
        "data": {"userName": 'ä,"data":{}', "note": "\0", "data": [sequence]},
    }


async def insert(connection: Connection, entry: dict[str, Any]) -> None:
    await connection.execute(
        "INSERT INTO entries VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        *(entry[name] for name in ("tenant", "sequence", "id", "time", "recorded_time", "action", "actor")),
        *(entry["resource"]["id"], entry["outcome"], msgspec.json.encode(entry).decode()),
    )


async def test_what_was_recorded_before_gets_parts_leaves_and_a_tree(servers: Stack) -> None:
    async with empty_schema(servers) as connection:
        await migrate(connection, "quartet_common", find_migrations("quartet_common"))
        known = find_migrations("quartet_audit")
        await migrate(connection, "quartet_audit", known[:2])
        entries = {tenant: [recorded(tenant, number) for number in range(size)] for tenant, size in SIZES.items()}
        for some in entries.values():
            for entry in some:
                await insert(connection, entry)
        await connection.executemany("INSERT INTO logs VALUES ($1, $2)", list(SIZES.items()))
        await connection.execute("INSERT INTO deleted_tenants VALUES ('umbrella', now(), now())")
        await connection.execute("INSERT INTO logs VALUES ('unused', 0)")
        await migrate(connection, "quartet_audit", known)
        for tenant in ("acme", "globex", "initech"):
            await check_entries(connection, tenant, entries[tenant])
            await check_tree(connection, tenant, len(entries[tenant]))
        assert await tree_store.get_frontier(connection, "unused") == Frontier()
        assert await tree_store.get_frontier(connection, "umbrella") is None
        assert await connection.fetchval("SELECT count(*) FROM entries WHERE tenant_id = 'umbrella'") == 0


async def check_entries(connection: Connection, tenant: str, entries: list[dict[str, Any]]) -> None:
    """Each entry reads as before, and its leaf commits to its parts."""
    async with connection.transaction():
        shown = [json.loads(one) async for one in entry_store.export_entries(connection, tenant)]
    added = {"actor_name": None, "actor_type": None, "resource_name": None, "user_agent": None}
    assert shown == [json.loads(msgspec.json.encode(one)) | added for one in entries]
    rows = await connection.fetch(PARTS_OF, tenant)
    salts: set[bytes] = set()
    for entry, row in zip(entries, rows, strict=True):
        parts = {part: Part(row[part], row[f"{part}_salt"]) for part in PARTS if row[part] is not None}
        assert parts.keys() == {"facts", "changes", *(["source"] if entry["source_address"] else [])}
        assert row["leaf"] == encode_leaf(entry["sequence"], entry["time"], entry["id"], entry["action"], parts)
        salts |= {part.salt for part in parts.values()}
    assert len(salts) == 2 * len(entries) + len(entries) // 2
    assert {len(salt) for salt in salts} == {32}


async def check_tree(connection: Connection, tenant: str, size: int) -> None:
    """Frontier and tiles are those over the leaves, and the log goes on from there."""
    leaves = await tree_store.read_leaves(connection, tenant, 0, size)
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert await tree_store.get_frontier(connection, tenant) == Frontier().grow(hashes)
    addresses = [TileAddress(0, index) for index in range(3)]
    tiles = await tree_store.read_tiles(connection, tenant, [*addresses, TileAddress(1, 0)], size)
    for index in range(-(-size // 256)):
        assert tiles[TileAddress(0, index)] == hashes[index * 256 : index * 256 + 256]
    if size >= 256:
        full = [tree_root(hashes[first : first + 256]) for first in range(0, size - 255, 256)]
        assert tiles[TileAddress(1, 0)] == full
        assert len(full) == tile_width(TileAddress(1, 0), size)
    async with connection.transaction():
        frontiers = await tree_store.lock_logs(connection, [tenant])
        grown = await tree_store.append_leaves(connection, frontiers, {tenant: [b"next"] * 300})
    assert grown[tenant] == Frontier().grow([*hashes, *[leaf_hash(b"next")] * 300])
