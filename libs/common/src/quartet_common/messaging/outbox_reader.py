"""The outbox reader: selects the rows that the relay publishes next, urgent ones first, then tenant by tenant; it holds
aggregates whose events RabbitMQ refused.
"""

import asyncio
from collections.abc import Callable, Sequence

from quartet_common.data.connections import SingleConnection
from quartet_common.messaging.batches import BATCH, OutboxRow

ROUND = 1000
"""Events of one query of the outbox, divided among the tenants that have some."""
SMALL_ROUND = 10
"""Events of each tenant in one query while consumers lag behind: the others stay in the outbox."""
MAX_TENANTS = 200
"""Tenants of one query; the next one begins with those that follow."""
HOLD = 5.0
"""Seconds for which an aggregate is held after RabbitMQ refused one of its events."""
MAX_HOLD = 300.0
"""The longest hold in seconds, for events that no known consumer takes. Each hold is as long as events of the type have
been refused so far, so that many of them do not delay events of other types.
"""

COLUMNS = "id, tenant_id, actor_id, aggregate, type, event_id, traceparent, event"
# a subquery is hashed, however many are held; `<> ALL` compares each row with each of them
IS_AWAKE = "aggregate NOT IN (SELECT unnest($1::text[]))"
WAITING = f"""
WITH RECURSIVE tenants AS (
    (SELECT tenant_id, 1 AS number FROM outbox WHERE NOT urgent AND tenant_id > $3 ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT o.tenant_id FROM outbox o WHERE NOT o.urgent AND o.tenant_id > t.tenant_id
            ORDER BY o.tenant_id LIMIT 1), number + 1
    FROM tenants t WHERE t.tenant_id IS NOT NULL AND number <= {MAX_TENANTS}
), share AS (
    SELECT coalesce($2::int, greatest({SMALL_ROUND}, {ROUND} / greatest(1, count(*)))) AS most
    FROM tenants t WHERE number <= {MAX_TENANTS}
    AND EXISTS (SELECT FROM outbox WHERE NOT urgent AND tenant_id = t.tenant_id AND {IS_AWAKE})
)
SELECT t.tenant_id AS scanned, share.most, o.* FROM tenants t CROSS JOIN share LEFT JOIN LATERAL (
    SELECT {COLUMNS} FROM outbox WHERE NOT urgent AND tenant_id = t.tenant_id AND {IS_AWAKE}
    AND number <= {MAX_TENANTS} ORDER BY id LIMIT share.most
) o ON true WHERE t.tenant_id IS NOT NULL"""
"""The oldest rows of each tenant, from the tenant after $3 on: a loose scan of the index (tenant_id, id). A tenant
whose events are all held has a row without an event, and so has the one that follows after MAX_TENANTS.
"""
URGENT = f"SELECT {COLUMNS} FROM outbox WHERE urgent AND {IS_AWAKE} ORDER BY id LIMIT $2"


class OutboxReader:
    """Reads rows in turn between tenants, without held aggregates. `is_taken` says whether a known consumer takes a
    key.
    """

    def __init__(self, is_taken: Callable[[str], bool]) -> None:
        self._is_taken = is_taken
        self._held: dict[str, float] = {}
        self._refused_since: dict[str, float] = {}
        self._last_tenant = ""
        self.is_busy = False

    @property
    def has_more_tenants(self) -> bool:
        """Whether there are tenants after those of the last query."""
        return bool(self._last_tenant)

    async def urgent(self, database: SingleConnection) -> list[OutboxRow]:
        """Urgent rows, in their order."""
        return [OutboxRow(*record) for record in await database.fetch(URGENT, list(self._held), ROUND)]

    async def waiting(self, database: SingleConnection, each: int | None) -> list[OutboxRow]:
        """Rows of the tenants in turn, `each` of each tenant; by default ROUND divided by the tenants that wait.

        Tenants with few rows come first. Holds end here, so that later events never overtake a refused one.
        """
        now = asyncio.get_running_loop().time()
        self._held = {aggregate: until for aggregate, until in self._held.items() if until > now}
        records = await database.fetch(WAITING, list(self._held), each, self._last_tenant)
        by_tenant: dict[str, list[OutboxRow]] = {}
        for record in records:
            rows = by_tenant.setdefault(record["scanned"], [])
            if record["id"] is not None:
                rows.append(OutboxRow(*record[2:]))
        names = list(by_tenant)
        self._last_tenant = names[MAX_TENANTS - 1] if len(names) > MAX_TENANTS else ""
        found = [row for rows in sorted(by_tenant.values(), key=len) for row in rows]
        is_cut = any(len(by_tenant[record["scanned"]]) >= record["most"] for record in records)
        self.is_busy = is_cut or self.has_more_tenants or len(found) >= BATCH
        return found

    def is_held(self, row: OutboxRow) -> bool:
        """Whether the row's aggregate is held."""
        return row.aggregate in self._held

    def hold(self, row: OutboxRow) -> None:
        """Hold the row's aggregate, since RabbitMQ refused the row."""
        now = asyncio.get_running_loop().time()
        key, seconds = row.routing_key, HOLD
        if not self._is_taken(key):
            seconds = max(HOLD, min(MAX_HOLD, now - self._refused_since.setdefault(key, now)))
        self._held[row.aggregate] = now + seconds

    def confirmed(self, rows: Sequence[OutboxRow]) -> None:
        """Note that RabbitMQ accepts events of these types."""
        for row in rows:
            self._refused_since.pop(row.routing_key, None)
