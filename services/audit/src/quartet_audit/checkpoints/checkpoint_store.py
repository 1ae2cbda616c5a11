"""SQL of checkpoints: connection first; the last one of each log, and the logs that have grown since. Never commits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import Frontier
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG
from quartet_common.data.connections import Connection

LOCK_COSIGNED = "SELECT pg_advisory_xact_lock(hashtextextended('quartet.audit.cosignatures', 0))"
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('quartet.audit.checkpoints', 0))"

CHANGED = """
SELECT tenant_id, coalesce(l.size, 0) AS size, coalesce(l.frontier, '') AS frontier,
       coalesce(c.size, 0) AS signed_size, coalesce(c.frontier, '') AS signed_frontier, c.note
FROM {logs}
WHERE tenant_id <> ''
    AND (coalesce(l.size, 0), coalesce(l.frontier, '')) <> (coalesce(c.size, 0), coalesce(c.frontier, ''))
ORDER BY c.signed_at NULLS FIRST LIMIT $1"""
# a full join: a log that was removed differs from its checkpoint too
READ_ALL_CHANGED = CHANGED.format(logs="logs l FULL JOIN checkpoints c USING (tenant_id)")
# OFFSET 0: see entry_store.CONTENTS
READ_CHANGED = CHANGED.format(
    logs="""unnest($2::text[]) AS wanted (tenant_id)
LEFT JOIN LATERAL (SELECT * FROM logs WHERE tenant_id = wanted.tenant_id OFFSET 0) AS l USING (tenant_id)
LEFT JOIN LATERAL (SELECT * FROM checkpoints WHERE tenant_id = wanted.tenant_id OFFSET 0) AS c USING (tenant_id)"""
)
FIND_NEXT = """
(SELECT tenant_id FROM logs WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2)
UNION
(SELECT tenant_id FROM checkpoints WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2)
ORDER BY tenant_id LIMIT $2"""

READ_LAST = """
SELECT tenant_id, size, frontier, note, signed_at, deployment_index, salt FROM checkpoints
WHERE tenant_id = ANY($1::text[])"""

STORE = """
SELECT store_checkpoints(
    $1::text[], $2::bigint[], $3::bytea[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bytea[])"""

READ_COSIGNED = """
SELECT tenant_id, size, frontier, note, signed_at, NULL::bigint AS deployment_index, NULL::bytea AS salt
FROM cosigned_checkpoints WHERE tenant_id = $1"""

STORE_COSIGNED = """
INSERT INTO cosigned_checkpoints (tenant_id, size, frontier, note, signed_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id) DO UPDATE SET size = EXCLUDED.size, frontier = EXCLUDED.frontier, note = EXCLUDED.note,
    signed_at = EXCLUDED.signed_at"""


class ChangedLog(NamedTuple):
    """A log that differs from its last checkpoint: the present frontier, the signed one, and the signed note."""

    log: str
    frontier: Frontier
    signed: Frontier
    note: str | None


class StoredCheckpoint(NamedTuple):
    """The last checkpoint of a log. A tenant's has an index in the deployment log and the salt of its leaf there."""

    log: str
    frontier: Frontier
    note: str
    signed_at: datetime
    deployment_index: int | None = None
    salt: bytes | None = None

    @property
    def size(self) -> int:
        """The size of the tree that was signed."""
        return self.frontier.size


async def try_lock(connection: Connection) -> bool:
    """Whether this transaction may sign, until it ends; False while another one does."""
    locked: bool = await connection.fetchval(TRY_LOCK)
    return locked


async def find_next(connection: Connection, log: str, most: int) -> list[str]:
    """The logs of tenants that come after `log`, in the order of their names, at most so many."""
    return [row["tenant_id"] for row in await connection.fetch(FIND_NEXT, log, most)]


async def read_changed(connection: Connection, limit: int, logs: Collection[str] | None = None) -> list[ChangedLog]:
    """Those of `logs`, or of all, that differ from their last checkpoints, those with the oldest checkpoints first."""
    if logs is None:
        rows = await connection.fetch(READ_ALL_CHANGED, limit)
    else:
        rows = await connection.fetch(READ_CHANGED, limit, list(logs))
    return [
        ChangedLog(
            row["tenant_id"],
            Frontier.decode(row["size"], row["frontier"]),
            Frontier.decode(row["signed_size"], row["signed_frontier"]),
            row["note"],
        )
        for row in rows
    ]


async def read_added_leaves(connection: Connection, logs: Collection[ChangedLog], most: int) -> dict[str, list[bytes]]:
    """The leaves of each log behind its last checkpoint, at most so many."""
    starts = [log.signed.size for log in logs]
    ends = [min(log.frontier.size, log.signed.size + most) for log in logs]
    found: dict[str, list[bytes]] = {log.log: [] for log in logs}
    for row in await connection.fetch(tree_store.READ_RANGES, [log.log for log in logs], starts, ends):
        found[row["tenant_id"]].append(row["leaf"])
    return found


async def read_checkpoints(connection: Connection, *logs: str) -> dict[str, StoredCheckpoint]:
    """The last checkpoints of `logs`, of those that have one."""
    rows = await connection.fetch(READ_LAST, list(logs))
    return {row["tenant_id"]: _stored(row) for row in rows}


def _stored(row: asyncpg.Record) -> StoredCheckpoint:
    frontier = Frontier.decode(row["size"], row["frontier"])
    return StoredCheckpoint(
        row["tenant_id"], frontier, row["note"], row["signed_at"], row["deployment_index"], row["salt"]
    )


async def read_cosigned(connection: Connection) -> StoredCheckpoint | None:
    """The last checkpoint of the deployment log that has cosignatures, with them."""
    row = await connection.fetchrow(READ_COSIGNED, DEPLOYMENT_LOG)
    return None if row is None else _stored(row)


async def store_cosigned(connection: Connection, checkpoint: StoredCheckpoint) -> None:
    """Replace the last cosigned checkpoint of the deployment log."""
    frontier = checkpoint.frontier.encode()
    await connection.execute(
        STORE_COSIGNED, DEPLOYMENT_LOG, checkpoint.size, frontier, checkpoint.note, checkpoint.signed_at
    )


async def lock_cosigned(connection: Connection) -> None:
    """Have other transactions that store cosignatures wait until this one has ended."""
    await connection.execute(LOCK_COSIGNED)


async def read_size(connection: Connection, log: str) -> int | None:
    """The size of the last checkpoint of a log, or None."""
    size: int | None = await connection.fetchval("SELECT size FROM checkpoints WHERE tenant_id = $1", log)
    return size


async def store_checkpoints(connection: Connection, checkpoints: Sequence[StoredCheckpoint]) -> None:
    """Replace the last checkpoints of the logs of `checkpoints`."""
    await connection.execute(
        STORE,
        [one.log for one in checkpoints],
        [one.frontier.size for one in checkpoints],
        [one.frontier.encode() for one in checkpoints],
        [one.note for one in checkpoints],
        [one.signed_at for one in checkpoints],
        [one.deployment_index for one in checkpoints],
        [one.salt for one in checkpoints],
    )


async def append_to_deployment_log(connection: Connection, frontier: Frontier, leaves: Sequence[bytes]) -> Frontier:
    """Append `leaves` to the deployment log, whose frontier is `frontier`; returns its frontier afterwards."""
    frontiers: Mapping[str, Frontier] = await tree_store.append_leaves(
        connection, {DEPLOYMENT_LOG: frontier}, {DEPLOYMENT_LOG: leaves}
    )
    return frontiers[DEPLOYMENT_LOG]
