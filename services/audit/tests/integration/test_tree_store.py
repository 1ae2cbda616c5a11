"""The stored tree of a log: its frontier, its tiles and its leaves, as the leaves make them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg
import pytest

from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import TILE_WIDTH, Frontier, TileAddress, leaf_hash, tile_width, tree_root
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

FULL = TILE_WIDTH * TILE_WIDTH


async def append(audit: "Audit", *counts: tuple[str, int]) -> dict[str, Frontier]:
    """Append so many leaves to each log, which are different everywhere."""
    async with audit.container.database.transaction() as connection:
        frontiers = await tree_store.lock_logs(connection, [log for log, _ in counts])
        leaves = {
            log: [f"{log} {number}".encode() for number in range(frontiers[log].size, frontiers[log].size + count)]
            for log, count in counts
        }
        return await tree_store.append_leaves(connection, frontiers, leaves)


async def tiles(
    audit: "Audit", log: str, addresses: Sequence[TileAddress], size: int
) -> dict[TileAddress, list[bytes]]:
    async with audit.container.database.connection() as connection:
        return await tree_store.read_tiles(connection, log, addresses, size)


def hashes(log: str, level: int, start: int, end: int) -> list[bytes]:
    """Hashes of a level of the tree over the leaves that `append` makes."""
    if level == 0:
        return [leaf_hash(f"{log} {number}".encode()) for number in range(start, end)]
    below = hashes(log, level - 1, start * TILE_WIDTH, end * TILE_WIDTH)
    return [tree_root(below[first : first + TILE_WIDTH]) for first in range(0, len(below), TILE_WIDTH)]


async def test_a_log_that_grows_in_uneven_steps_has_the_tree_of_its_leaves(audit: "Audit") -> None:
    log, other = new_tenant(), new_tenant()
    for count in (1, 254, 1, 1, 255, 700, 3, 256, 512):
        frontiers = await append(audit, (log, count), (other, 100))
        size = frontiers[log].size
        assert frontiers[log].root() == tree_root(hashes(log, 0, 0, size))
        async with audit.container.database.connection() as connection:
            assert await tree_store.get_frontier(connection, log) == frontiers[log]
        addresses = [TileAddress(level, index) for level in range(3) for index in range(size // TILE_WIDTH + 2)]
        found = await tiles(audit, log, addresses, size)
        assert found.keys() == {one for one in addresses if tile_width(one, size)}
        for one, held in found.items():
            start = one.index * TILE_WIDTH
            assert held == hashes(log, one.level, start, start + tile_width(one, size))


async def test_a_tile_of_an_earlier_size_is_the_beginning_of_todays(audit: "Audit") -> None:
    log = new_tenant()
    await append(audit, (log, 5 * TILE_WIDTH + 7))
    for size in (1, 255, 256, 257, 600, 1024):
        found = await tiles(
            audit, log, [TileAddress(0, 0), TileAddress(0, size // TILE_WIDTH), TileAddress(1, 0)], size
        )
        for one, held in found.items():
            start = one.index * TILE_WIDTH
            assert held == hashes(log, one.level, start, start + tile_width(one, size))


@pytest.mark.slow
async def test_a_batch_that_fills_tiles_of_three_levels_fills_them_all(audit: "Audit") -> None:
    log = new_tenant()
    await append(audit, (log, FULL - 300))
    frontier = (await append(audit, (log, FULL + 600)))[log]
    assert frontier.size == 2 * FULL + 300
    found = await tiles(
        audit, log, [TileAddress(1, 0), TileAddress(1, 1), TileAddress(1, 2), TileAddress(2, 0)], frontier.size
    )
    assert {one: len(held) for one, held in found.items()} == {
        TileAddress(1, 0): 256,
        TileAddress(1, 1): 256,
        TileAddress(1, 2): 1,
        TileAddress(2, 0): 2,
    }
    below = hashes(log, 1, 0, 513)
    assert [*found[TileAddress(1, 0)], *found[TileAddress(1, 1)], *found[TileAddress(1, 2)]] == below
    assert found[TileAddress(2, 0)] == [tree_root(below[:256]), tree_root(below[256:512])]
    assert frontier.root() == tree_root(hashes(log, 0, 0, frontier.size))


async def test_leaves_are_read_by_their_range(audit: "Audit") -> None:
    log = new_tenant()
    await append(audit, (log, 10))
    async with audit.container.database.connection() as connection:
        assert await tree_store.read_leaves(connection, log, 3, 5) == [f"{log} 3".encode(), f"{log} 4".encode()]
        assert len(await tree_store.read_leaves(connection, log, 8, 100)) == 2
        assert await tree_store.get_frontier(connection, new_tenant()) is None


async def test_recorded_events_are_the_leaves_of_their_tenants_tree(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    for count in (200, 100):
        await audit.record([make_event(tenant=tenant) for _ in range(count)])
    async with audit.container.database.connection() as connection:
        frontier = await tree_store.get_frontier(connection, tenant)
        leaves = await tree_store.read_leaves(connection, tenant, 0, 1000)
    assert frontier == Frontier().grow([leaf_hash(leaf) for leaf in leaves])
    assert frontier.size == 300


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE leaves SET leaf = '' WHERE tenant_id = $1",
        "DELETE FROM leaves WHERE tenant_id = $1",
        "TRUNCATE leaves",
        "UPDATE tiles SET hashes = sha256('') WHERE tenant_id = $1",
        "UPDATE tiles SET index = 7 WHERE tenant_id = $1",
        "DELETE FROM tiles WHERE tenant_id = $1",
        "TRUNCATE tiles",
        "UPDATE logs SET frontier = sha256('') WHERE tenant_id = $1",
    ],
)
async def test_leaves_and_tiles_are_never_changed(audit: "Audit", statement: str) -> None:
    log = new_tenant()
    await append(audit, (log, 256))
    async with audit.owner.database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
            await connection.execute(statement, *([log] if "$1" in statement else []))
