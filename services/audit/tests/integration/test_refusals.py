"""Refused requests: they become entries like everything else, those without a token as bounded summaries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.messaging.event_aggregation import MAX_KEYS
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats
from quartet_common.web.denied_requests import EXTENSION, DeniedRequestLog
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit

FLOOD = 10_000


@asynccontextmanager
async def relaying(audit: "Audit") -> AsyncIterator[None]:
    """The relay of the audit service's outbox and its consumer, both running meanwhile."""
    relay = Relay(audit.container.config, audit.container.broker, OutboxStats())
    running = asyncio.ensure_future(relay.run())
    try:
        async with audit.consuming():
            yield
    finally:
        relay.stop()
        await asyncio.wait_for(running, 20)


async def test_a_request_that_lacks_its_scope_is_an_entry_of_its_tenant_and_actor(audit: "Audit") -> None:
    tenant = new_tenant()
    async with relaying(audit):
        headers = audit.tokens.headers(tenant, ["users:read"], actor="curious")
        assert (await audit.client.get("/audit/events?actor=x", headers=headers)).status_code == 403
        [entry] = await eventually(lambda: audit.find(tenant, outcome="denied"), "the entry of the refusal")
    assert (entry["action"], entry["actor"], entry["tenant"]) == ("audit.request.refused", "curious", tenant)
    assert entry["resource"]["type"] == "requests"
    assert entry["data"]["path"] == "/audit/events"
    assert (entry["data"]["status"], entry["data"]["scope"]) == (403, "audit:read")


async def test_requests_without_a_token_are_counted_in_the_system_tenant(audit: "Audit") -> None:
    await audit.service.app.extensions[EXTENSION].flush()  # what other tests were refused is told by itself
    begun = utc_now().isoformat()
    async with relaying(audit):
        for _ in range(20):
            assert (await audit.client.get("/audit/events/some")).status_code == 401
        question = {"action": "audit.request.refused", "actor": "anonymous", "from": begun}

        async def all_counted() -> list[dict[str, Any]]:
            entries = await audit.find(SYSTEM_TENANT, **question)
            mine = [entry for entry in entries if entry["data"]["path"] == "/audit/events/some"]
            return mine if sum(entry["data"]["count"] for entry in mine) == 20 else []

        entries = await eventually(all_counted, "summaries of 20 refusals")
    assert {entry["outcome"] for entry in entries} == {"denied"}
    assert len(entries) <= 3


async def test_a_flood_of_requests_without_a_token_gives_a_bounded_number_of_entries(audit: "Audit") -> None:
    service = new_tenant()  # a name of its own, so that only this flood's events are counted
    container = audit.container
    refusals = DeniedRequestLog(service, lambda: container.database, container.clock, window=3600)
    for number in range(FLOOD):
        refusals.unauthenticated(f"192.0.2.{number}", f"reason {number % 7}", "GET", f"/users/{number}")
    async with relaying(audit):
        await refusals.flush()
        first = await eventually(lambda: every(audit, service, MAX_KEYS + 1), "the first window's entries")
        refusals.unauthenticated("192.0.2.1", "reason 1", "GET", "/users/1")
        await refusals.flush()
        entries = await eventually(lambda: every(audit, service, MAX_KEYS + 2), "the second window's entry")
    assert sum(entry["data"]["count"] for entry in first) == FLOOD
    assert len(first) == MAX_KEYS + 1
    assert len(entries) == MAX_KEYS + 2
    assert {entry["outcome"] for entry in entries} == {"denied"}


async def every(audit: "Audit", service: str, least: int) -> list[dict[str, Any]]:
    found = await audit.find(SYSTEM_TENANT, action=f"{service}.request.refused")
    return found if len(found) >= least else []
