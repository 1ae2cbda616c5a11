"""Use cases of readers of logs: checkpoints, tiles, entry bundles, consistency proofs; each opens its one transaction.

Nothing beyond the last checkpoint is served, so what is served never changes.
"""

from collections.abc import Sequence
from datetime import datetime

from quartet_audit.checkpoints import checkpoint_store
from quartet_audit.checkpoints.checkpoint_store import StoredCheckpoint
from quartet_audit.config import AuditConfig
from quartet_audit.proofs.log_parameters import TilePath
from quartet_audit.retention.retention_store import read_pruned
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import TILE_WIDTH, TileAddress, consistency_ranges, tile_width
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG, DamagedLogError
from quartet_audit.witnesses.witness_domain import is_served
from quartet_common.core.errors import BadRequestError, NotFoundError
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer

Container = AppContainer[AuditConfig]

LENGTH_BYTES = 2


async def read_checkpoint(container: Container, log: str) -> StoredCheckpoint:
    """The checkpoint of a log that is served. Raises NotFoundError (404) before the first one."""
    async with container.database.snapshot() as connection:
        found = (await checkpoint_store.read_checkpoints(connection, log)).get(log)
        if found is None:
            raise NotFoundError("There is no checkpoint of this log yet.")
        return await served_checkpoint(connection, found, container.clock())


async def served_checkpoint(connection: Connection, last: StoredCheckpoint, now: datetime) -> StoredCheckpoint:
    """The checkpoint that is served of a log whose last one is `last`: of the deployment log one with cosignatures."""
    if last.log != DEPLOYMENT_LOG:
        return last
    cosigned = await checkpoint_store.read_cosigned(connection)
    if cosigned is None or not is_served(cosigned.size, cosigned.signed_at, last.size, last.signed_at, now):
        return last
    return cosigned


async def read_tile(container: Container, log: str, path: TilePath | None) -> bytes:
    """The bytes of a tile or an entry bundle.

    Raises NotFoundError (404) if it is wider than the signed tree, or an entry bundle below the minimum index.
    """
    async with container.database.connection() as connection:
        size = await checkpoint_store.read_size(connection, log)
        if size is None or path is None:
            raise NotFoundError("There is no such tile.")
        address = TileAddress(path.level or 0, path.number)
        if path.width > tile_width(address, size):
            raise NotFoundError("There is no such tile.")
        if path.level is not None:
            tiles = await tree_store.read_tiles(connection, log, [address], size)
            return b"".join(_complete(log, tiles.get(address, ()), path.width))
        start = path.number * TILE_WIDTH
        pruned = await read_pruned(connection, log)
        if pruned is not None and start < pruned.minimum_index:
            raise NotFoundError(f"The leaves below {pruned.minimum_index}, the minimum index of this log, are pruned.")
        leaves = _complete(log, await tree_store.read_leaves(connection, log, start, start + path.width), path.width)
    return b"".join(len(leaf).to_bytes(LENGTH_BYTES, "big") + leaf for leaf in leaves)


def _complete(log: str, found: Sequence[bytes], width: int) -> Sequence[bytes]:
    """The first `width` of `found`. Raises DamagedLogError (503) if there are fewer."""
    if len(found) < width:
        raise DamagedLogError(log)
    return found[:width]


async def prove_consistency(container: Container, log: str, old: int, size: int) -> list[bytes]:
    """The hashes that prove that the tree of `size` leaves extends that of `old` (RFC 9162 section 2.1.4.1).

    Raises NotFoundError (404) without a checkpoint, BadRequestError (400) for a size beyond it.
    """
    async with container.database.connection() as connection:
        signed = await checkpoint_store.read_size(connection, log)
        if signed is None:
            raise NotFoundError("There is no checkpoint of this log yet.")
        if size > signed:
            detail = f"to must be at most {signed}, the size of the last checkpoint, got {size}"
            raise BadRequestError(detail, "bad_parameter")
        ranges = consistency_ranges(old, size) if old else []
        return await tree_store.range_roots(connection, log, ranges, size)
