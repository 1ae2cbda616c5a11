"""GET /audit/data/export: the whole log of a tenant, streamed."""

import tracemalloc
from typing import TYPE_CHECKING

import orjson

from quartet_audit.entries.entry_store import export_entries
from quartet_common.data.row_exports import FETCH_BYTES
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

EXPORT = ["audit:export"]
LARGE = 600


async def test_an_export_is_the_tenants_log_in_order_and_says_where_it_ends(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    events = [make_event(tenant=tenant, data={"number": number}) for number in range(1200)]
    await audit.record(events)
    await audit.record([make_event(tenant=new_tenant())])
    response = await audit.client.get("/audit/data/export", headers=audit.tokens.headers(tenant, EXPORT))
    assert response.status_code == 200
    assert response.content_type == "application/x-ndjson"
    *lines, end = [orjson.loads(line) for line in (await response.get_data()).splitlines()]
    assert end == {"kind": "end", "count": 1200}
    assert {line["kind"] for line in lines} == {"entry"}
    assert [line["data"]["id"] for line in lines] == [str(event.id) for event in events]
    status, shown = await audit.ask(tenant, f"/audit/events/{events[7].id}")
    assert (status, lines[7]["data"]) == (200, shown)


async def test_an_export_holds_a_part_of_the_log_in_memory_only(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    text = "x" * 60_000
    for _ in range(20):
        await audit.record([make_event(tenant=tenant, data={"text": text}) for _ in range(LARGE // 20)])
    size = 0
    async with audit.container.database.snapshot() as connection:
        tracemalloc.start()
        async for row in export_entries(connection, tenant):
            size += len(row)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert size > LARGE * len(text)
    assert peak < 3 * FETCH_BYTES


async def test_who_takes_the_log_along_is_recorded_before_the_first_byte(audit: "Audit") -> None:
    tenant = new_tenant()
    headers = audit.tokens.headers(tenant, EXPORT, actor="auditor")
    assert (await audit.client.get("/audit/data/export", headers=headers)).status_code == 200
    [event] = await audit.service.outbox(tenant)
    assert (event.action, event.actorid, event.data) == ("audit.data.exported", "auditor", {"format": "ndjson"})


async def test_an_export_needs_its_own_scope(audit: "Audit") -> None:
    headers = audit.tokens.headers(new_tenant(), ["audit:read"])
    assert (await audit.client.get("/audit/data/export", headers=headers)).status_code == 403
