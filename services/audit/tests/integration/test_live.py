"""GET /audit/events/live: entries as Server-Sent Events, to a real client on a connection."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from quartet_audit.app import SERVICE
from quartet_audit.config import AuditConfig
from quartet_audit.streams import live_usecases
from quartet_audit.streams.live_usecases import TAILS_OF_TENANT
from quartet_common.auth.revocations import revocation
from quartet_common.core.clock import utc_now
from quartet_testing.conditions import eventually
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import new_tenant, serve_service
from services.audit.tests.conftest import READ, Audit

if TYPE_CHECKING:
    from services.audit.tests.conftest import MakeEvent


@dataclass
class Tail:
    """What a client has read: events as (id, data), their last id, comments, and the reason of the end."""

    events: list[dict[str, Any]] = field(default_factory=list)
    last_id: str = ""
    comments: list[str] = field(default_factory=list)
    end: str | None = None

    @property
    def numbers(self) -> list[int]:
        """The sequences of the entries."""
        return [one["sequence"] for one in self.events]

    def take(self, block: list[str]) -> None:
        """Read a block of lines (HTML Living Standard section 9.2.6)."""
        fields = dict(line.split(": ", 1) for line in block if not line.startswith(":"))
        self.comments += [line[2:] for line in block if line.startswith(":")]
        self.last_id = fields.get("id", self.last_id)
        if fields.get("event") == "end":
            self.end = json.loads(fields["data"])["reason"]
        elif "data" in fields:
            self.events.append(json.loads(fields["data"]))
            assert self.events[-1]["sequence"] == int(self.last_id)


@pytest.fixture(scope="module")
async def served(audit: Audit, config_for: ConfigFor[AuditConfig]) -> AsyncIterator[Audit]:
    """The service on a port."""
    async with serve_service(SERVICE, config_for(AuditConfig), audit.owner.config) as service:
        yield Audit(service, audit.owner)


@asynccontextmanager
async def following(
    served: Audit, tenant: str, query: dict[str, str] | None = None, last_event: str = "", **claims: Any
) -> AsyncIterator[Tail]:
    """A client that reads all the time; the log is followed when it begins."""
    tail, url = Tail(), f"http://127.0.0.1:{served.container.config.port}/audit/events/live"
    headers = served.tokens.headers(tenant, READ, **claims) | ({"Last-Event-ID": last_event} if last_event else {})

    async def read(response: httpx.Response) -> None:
        block: list[str] = []
        async for line in response.aiter_lines():
            if line:
                block.append(line)
            else:
                tail.take(block)
                block.clear()

    async with (
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
        client.stream("GET", url, params=query or {}, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream"
        reading = asyncio.ensure_future(read(response))
        try:
            await eventually(lambda: _has(tail.comments), "the beginning")
            yield tail
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def _has(values: list[Any], count: int = 1) -> bool:
    return len(values) >= count


async def test_entries_are_sent_as_they_are_appended_and_a_client_goes_on_where_it_was(
    served: Audit, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await served.record([make_event(tenant=tenant)])
    async with following(served, tenant) as tail:
        await served.record([make_event(tenant=tenant, data={"text": "a\nb"}), make_event(tenant=tenant)])
        await served.record([make_event(tenant=new_tenant())])
        await eventually(lambda: _has(tail.events, 2), "two entries")
        assert tail.events == (await served.page(tenant, order="asc"))["events"][1:]
    await served.record([make_event(tenant=tenant)])
    async with following(served, tenant, last_event=tail.last_id) as again:
        await eventually(lambda: _has(again.events), "what came meanwhile")
        assert again.numbers == [3]
    async with following(served, tenant, last_event="0") as late:
        await eventually(lambda: _has(late.events, 3), "the log after the first entry")
        assert late.numbers == [1, 2, 3]


async def test_a_tail_has_the_filters_of_a_search(served: Audit, make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    query = {"action": "users.user.*", "outcome": "denied", "actor": "", "resource_type": "users", "text": "jensen"}
    async with following(served, tenant, query) as tail:
        for action in ("users.user.created", "groups.group.created", "users.user.updated"):
            for outcome in ("success", "denied"):
                await served.record([make_event(action, tenant, outcome=outcome, data={"name": "Jensen"})])
        await eventually(lambda: _has(tail.events, 2), "two entries")
        assert tail.numbers == [1, 5]


async def test_a_heartbeat_says_how_far_the_log_was_looked_at(
    served: Audit, make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_usecases, "INTERVAL", 0.01)
    monkeypatch.setattr(live_usecases, "HEARTBEAT", 0.05)
    tenant = new_tenant()
    async with following(served, tenant, {"actor": "nobody"}) as tail:
        await eventually(lambda: _has(tail.comments, 3), "heartbeats")
        assert tail.last_id == ""
        await served.record([make_event(tenant=tenant), make_event(tenant=tenant)])

        async def knows() -> bool:
            return tail.last_id == "1"

        await eventually(knows, "the id of the last entry")
        assert tail.events == []


async def test_a_tail_ends_with_its_token(served: Audit) -> None:
    expiring = int(time.time()) - 3  # within the five seconds that clocks may differ
    async with following(served, new_tenant(), exp=expiring) as tail:

        async def ended() -> bool:
            return tail.end == "token_expired"

        await eventually(ended, "the end")


async def test_a_tail_ends_when_its_token_is_revoked(served: Audit) -> None:
    tenant = new_tenant()
    async with following(served, tenant) as tail:
        served.container.revocations.add((revocation(tenant, "subject", "tester", utc_now()),))

        async def ended() -> bool:
            return tail.end == "token_revoked"

        await eventually(ended, "the end")


async def test_a_tenant_has_a_share_of_the_tails(served: Audit) -> None:
    tenant = new_tenant()
    [share] = [one for one in served.container.shares if one.resource == "live tails"]
    waiting = [following(served, tenant) for _ in range(TAILS_OF_TENANT)]
    for one in waiting:
        await one.__aenter__()
    status, problem = await served.ask(tenant, "/audit/events/live")
    assert (status, problem["code"]) == (429, "share_exceeded")
    async with following(served, new_tenant()):
        pass
    for one in waiting:
        await one.__aexit__(None, None, None)

    async def free() -> bool:
        return share.used == 0

    await eventually(free, "the share is free")


async def test_a_client_that_does_not_read_holds_no_connection_of_the_database(
    served: Audit, make_event: "MakeEvent"
) -> None:
    tenant, text = new_tenant(), "x" * 60_000
    await served.record([make_event(tenant=tenant)])
    for _ in range(5):
        await served.record([make_event(tenant=tenant, data={"text": text}) for _ in range(40)])
    reader, writer = await asyncio.open_connection("127.0.0.1", served.container.config.port, limit=1024)
    token = served.tokens.headers(tenant, READ)["Authorization"]
    writer.write(
        f"GET /audit/events/live HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nLast-Event-ID: 0\r\n\r\n".encode()
    )
    await reader.readexactly(64)
    [share] = [one for one in served.container.shares if one.resource == "live tails"]

    async def is_blocked() -> bool:
        """The tail runs, and asks the database for nothing more."""
        return share.used_by(tenant) == 1 and served.container.database.taken == 0

    await eventually(is_blocked, "a tail without a connection")
    for _ in range(5):
        await asyncio.sleep(0)
        assert await is_blocked()
    writer.transport.abort()

    async def gone() -> bool:
        return share.used_by(tenant) == 0

    await eventually(gone, "the tail has ended")


@pytest.mark.parametrize(
    ("query", "last_event", "detail"),
    [
        ("?actions=x", "", "actions is not a known parameter. Use: action, actor, resource, resource_type, outcome"),
        ("?address=192.0.2.7/24", "", "address must be an IPv4 or IPv6 address, or a network"),
        ("", "x", "Last-Event-ID must be a whole number from 0 to 0, got 'x'"),
        ("", "1", "Last-Event-ID must be a whole number from 0 to 0, got '1'"),
    ],
)
async def test_a_question_that_cannot_be_is_refused_by_name(
    served: Audit, make_event: "MakeEvent", query: str, last_event: str, detail: str
) -> None:
    tenant = new_tenant()
    await served.record([make_event(tenant=tenant)])
    headers = served.tokens.headers(tenant, READ) | {"Last-Event-ID": last_event}
    answer = await served.client.get(f"/audit/events/live{query}", headers=headers)
    assert answer.status_code == 400
    assert detail in (await answer.get_json(force=True))["detail"]
