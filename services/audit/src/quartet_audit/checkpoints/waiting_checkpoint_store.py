"""SQL of the checkpoints that the webhook has not taken yet: connection first; in the order of size. Never commits."""

from typing import NamedTuple

from quartet_audit.trees.tree_store import DEPLOYMENT_LOG
from quartet_common.data.connections import Connection

MAX_WAITING = 50_000
"""Checkpoints that are kept for a receiver that takes none: some 200 MB, and at least seven hours."""

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('quartet.audit.webhook', 0))"
ADD = "INSERT INTO waiting_checkpoints (tenant_id, size, note) VALUES ($1, $2, $3)"
FIRST = "SELECT size, note FROM waiting_checkpoints WHERE tenant_id = $1 ORDER BY size LIMIT 1"
REMOVE = "DELETE FROM waiting_checkpoints WHERE tenant_id = $1 AND size = $2"
PRUNE = """
DELETE FROM waiting_checkpoints WHERE tenant_id = $1 AND size <= (
    SELECT size FROM waiting_checkpoints WHERE tenant_id = $1 ORDER BY size DESC OFFSET $2 LIMIT 1)
RETURNING size"""


class WaitingCheckpoint(NamedTuple):
    """A checkpoint that waits: leaves of the deployment log, and the signed note."""

    size: int
    note: str


async def try_lock(connection: Connection) -> bool:
    """Whether this transaction may deliver, until it ends; False while another one does."""
    locked: bool = await connection.fetchval(TRY_LOCK)
    return locked


async def add_waiting(connection: Connection, size: int, note: str) -> None:
    """Have a checkpoint wait for the webhook."""
    await connection.execute(ADD, DEPLOYMENT_LOG, size, note)


async def read_first(connection: Connection) -> WaitingCheckpoint | None:
    """The oldest checkpoint that waits."""
    row = await connection.fetchrow(FIRST, DEPLOYMENT_LOG)
    return None if row is None else WaitingCheckpoint(row["size"], row["note"])


async def remove_waiting(connection: Connection, size: int) -> None:
    """Remove a checkpoint that was taken."""
    await connection.execute(REMOVE, DEPLOYMENT_LOG, size)


async def prune(connection: Connection) -> int:
    """Remove the oldest checkpoints beyond MAX_WAITING; returns how many."""
    return len(await connection.fetch(PRUNE, DEPLOYMENT_LOG, MAX_WAITING))
