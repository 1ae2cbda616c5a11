"""SQL of alerts: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from quartet_common.data.connections import Connection
from quartet_metrics.alerts.alert_domain import Alert

COLUMNS = "rule_id, id, labels, value, active_at, fired_at, absent_since"
READ = f"SELECT {COLUMNS} FROM alerts WHERE tenant_id = $1 ORDER BY active_at, id"
READ_OF_RULE = f"SELECT {COLUMNS} FROM alerts WHERE tenant_id = $1 AND rule_id = $2 ORDER BY active_at, id"
DELETE_OTHERS = "DELETE FROM alerts WHERE tenant_id = $1 AND rule_id = $2 AND NOT id = ANY($3::uuid[])"
STORE = """
INSERT INTO alerts AS known (tenant_id, rule_id, id, labels, value, active_at, fired_at, absent_since)
SELECT $1, $2, * FROM unnest(
    $3::uuid[], $4::json[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[])
ON CONFLICT (tenant_id, rule_id, id) DO UPDATE
SET value = excluded.value, fired_at = excluded.fired_at, absent_since = excluded.absent_since"""


async def read_alerts(connection: Connection, tenant: str) -> dict[UUID, list[Alert]]:
    """The alerts of a tenant by the id of their rule, the oldest first."""
    found: dict[UUID, list[Alert]] = {}
    for row in await connection.fetch(READ, tenant):
        found.setdefault(row["rule_id"], []).append(_alert(row))
    return found


async def read_alerts_of(connection: Connection, tenant: str, rule: UUID) -> list[Alert]:
    """The alerts of one rule, the oldest first."""
    return [_alert(row) for row in await connection.fetch(READ_OF_RULE, tenant, rule)]


async def store_alerts(connection: Connection, tenant: str, rule: UUID, alerts: Sequence[Alert]) -> None:
    """Have a rule, which is locked, have exactly these alerts."""
    ids = [one.id for one in alerts]
    await connection.execute(DELETE_OTHERS, tenant, rule, ids)
    if not alerts:
        return
    await connection.execute(
        STORE,
        tenant,
        rule,
        ids,
        [msgspec.json.encode(one.labels).decode() for one in alerts],
        [one.value for one in alerts],
        [one.active_at for one in alerts],
        [one.fired_at for one in alerts],
        [one.absent_since for one in alerts],
    )


def _alert(row: asyncpg.Record) -> Alert:
    return Alert(
        id=row["id"],
        labels=msgspec.json.decode(row["labels"], type=dict[str, str]),
        value=row["value"],
        active_at=row["active_at"],
        fired_at=row["fired_at"],
        absent_since=row["absent_since"],
    )
