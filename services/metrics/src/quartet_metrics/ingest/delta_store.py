"""SQL of the totals of deltas: connection first, then tenant; never commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from quartet_common.data.connections import Connection
from quartet_metrics.ingest.delta_domain import Stream

# Rows are made and locked in the order of their key, so that requests with the same streams cannot block each other.
MAKE = """
INSERT INTO delta_streams (tenant_id, stream, state, updated_at)
SELECT $1, stream, $3::json, $4 FROM unnest($2::bytea[]) AS given (stream) ORDER BY stream
ON CONFLICT (tenant_id, stream) DO NOTHING"""
LOCK = """
SELECT stream, state::text FROM delta_streams WHERE tenant_id = $1 AND stream = ANY($2::bytea[])
ORDER BY stream FOR UPDATE"""
WRITE = """
UPDATE delta_streams SET state = given.state::json, updated_at = $4
FROM unnest($2::bytea[], $3::text[]) AS given (stream, state)
WHERE tenant_id = $1 AND delta_streams.stream = given.stream"""
PRUNE = """
DELETE FROM delta_streams WHERE (tenant_id, stream) IN (
    SELECT tenant_id, stream FROM delta_streams WHERE updated_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""
EMPTY = msgspec.json.encode(Stream()).decode()


async def lock_streams(
    connection: Connection, tenant: str, streams: Sequence[bytes], now: datetime
) -> dict[bytes, Stream]:
    """The streams of a tenant, locked until the transaction ends; new ones are made."""
    wanted = sorted(set(streams))
    await connection.execute(MAKE, tenant, wanted, EMPTY, now)
    rows = await connection.fetch(LOCK, tenant, wanted)
    return {row["stream"]: msgspec.json.decode(row["state"], type=Stream) for row in rows}


async def write_streams(connection: Connection, tenant: str, streams: Mapping[bytes, Stream], now: datetime) -> None:
    """Store the new states of locked streams."""
    states = [msgspec.json.encode(stream).decode() for stream in streams.values()]
    await connection.execute(WRITE, tenant, list(streams), states, now)


async def prune_streams(connection: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` streams without points since `before`; returns how many."""
    done: str = await connection.execute(PRUNE, before, limit)
    return int(done.rpartition(" ")[2])
