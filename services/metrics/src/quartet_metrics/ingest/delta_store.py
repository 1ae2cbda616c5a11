"""SQL of the totals of deltas: connection first, then tenant; never commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from quartet_common.data.connections import Connection
from quartet_metrics.ingest.delta_domain import DeltaTotals

# Rows are made and locked in the order of their key, so that requests with the same metrics cannot block each other.
MAKE = """
INSERT INTO delta_totals (tenant_id, metric_key, state, updated_at)
SELECT $1, metric_key, $3::json, $4 FROM unnest($2::bytea[]) AS given (metric_key) ORDER BY metric_key
ON CONFLICT (tenant_id, metric_key) DO NOTHING"""
LOCK = """
SELECT metric_key, state::text FROM delta_totals WHERE tenant_id = $1 AND metric_key = ANY($2::bytea[])
ORDER BY metric_key FOR UPDATE"""
WRITE = """
UPDATE delta_totals SET state = given.state::json, updated_at = $4
FROM unnest($2::bytea[], $3::text[]) AS given (metric_key, state)
WHERE tenant_id = $1 AND delta_totals.metric_key = given.metric_key"""
PRUNE = """
DELETE FROM delta_totals WHERE (tenant_id, metric_key) IN (
    SELECT tenant_id, metric_key FROM delta_totals WHERE updated_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""
EMPTY = msgspec.json.encode(DeltaTotals()).decode()


async def lock_totals(
    connection: Connection, tenant: str, keys: Sequence[bytes], now: datetime
) -> dict[bytes, DeltaTotals]:
    """The totals by the keys of points, locked until the transaction ends; new ones are empty."""
    wanted = sorted(set(keys))
    await connection.execute(MAKE, tenant, wanted, EMPTY, now)
    rows = await connection.fetch(LOCK, tenant, wanted)
    return {row["metric_key"]: msgspec.json.decode(row["state"], type=DeltaTotals) for row in rows}


async def write_totals(connection: Connection, tenant: str, totals: Mapping[bytes, DeltaTotals], now: datetime) -> None:
    """Store totals that were locked."""
    states = [msgspec.json.encode(one).decode() for one in totals.values()]
    await connection.execute(WRITE, tenant, list(totals), states, now)


async def prune_totals(connection: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` totals without points since `before`; returns how many."""
    done: str = await connection.execute(PRUNE, before, limit)
    return int(done.rpartition(" ")[2])
