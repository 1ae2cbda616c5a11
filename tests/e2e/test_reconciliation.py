"""Comparisons of gauges with users, groups and audit: while everything changes, after a drift, and its correction."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aio_pika
import pytest
from jsonschema import Draft202012Validator
from yarl import URL

from quartet_cli.layout import CHECKOUT
from quartet_cli.stack import Stack
from quartet_common.messaging.envelope import TYPE_PREFIX
from quartet_common.messaging.topology import QueueNames
from quartet_testing.client import GROUPS, USERS, Api, TokenFor, bulk_document, user_document
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import database, paused, stopped
from quartet_testing.ledger import Ledger, Outcome
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

PATH = "/metrics/reconciliation"
PASSWORD = "a horse, a battery, a staple"
RATE = 200
"""Users that are created in a second, besides other writes."""
DISTORT = """
WITH known AS (
    UPDATE series SET total = total + $2 WHERE tenant_id = $1 AND metric = $3 AND labels = $4
    RETURNING tenant_id, series)
UPDATE samples SET amount = amount + $2 FROM known
WHERE samples.tenant_id = known.tenant_id AND samples.series = known.series"""


BURY = """
INSERT INTO dead_letters (tenant_id, id, consumer, digest, reason, failure, attempts, returns, headers, body)
VALUES ($1, gen_random_uuid(), $2, sha256(convert_to($1, 'UTF8')), 'ValueError: no', 'ValueError', 6, 0, '{}', '')"""


class Comparing:
    """Compares the tenant of `api`."""

    def __init__(self, api: Api, platform: Api, tenant: str) -> None:
        self.api = api
        self.platform = platform
        self.tenant = tenant

    async def compare(self, *, repair: bool = False) -> dict[str, Any]:
        answer = await self.platform.post(PATH, json={"tenant": self.tenant, "repair": repair}, timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def drifts(self, *, repair: bool = False) -> dict[str, int]:
        """What differs, when all gauges could be compared."""

        async def probe() -> dict[str, Any]:
            found = await self.compare(repair=repair)
            assert not found["problems"], found
            return found

        found = await eventually(probe, "a comparison of all gauges", PATIENCE)
        assert len(found["gauges"]) == 8
        named = {"/".join((one["metric"], *one["labels"].values())): one for one in found["gauges"]}
        return {name: one["drift"] for name, one in named.items() if one["drift"]}

    async def value(self, metric: str, by: str = "none") -> dict[str, int]:
        answer = await self.api.get("/metrics/query", params={"metric": metric, "step": "minute", "by": by})
        return {one["key"]: one["points"][-1]["value"] for one in answer.json()["series"]}


async def drop_dead_letters(stack: Stack, service: str) -> None:
    """Drop the dead letters of other tests: while one is unreadable, or in its queue, nothing can be compared."""
    password = (stack.home.secrets / service / "quartet_broker_password").read_text().strip()
    url = URL(stack.environment(service, "worker")["QUARTET_BROKER_URL"]).with_password(password)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(QueueNames(service).dead)).purge()
    async with database(stack, service) as connected:
        await connected.execute("DELETE FROM dead_letters WHERE tenant_id = ''")


@pytest.fixture
async def comparing(stack: Stack, token_for: TokenFor) -> AsyncIterator[Comparing]:
    for service in ("metrics", "audit"):
        await drop_dead_letters(stack, service)
    tenant = new_tenant()
    async with (
        Api(stack.url, await token_for(tenant)) as api,
        Api(stack.url, await token_for("quartet", "platform:admin")) as platform,
    ):
        yield Comparing(api, platform, tenant)


@asynccontextmanager
async def created_at_rate(api: Api) -> AsyncIterator[Iterator[int]]:
    """RATE users are created each second inside the block, ten at a time; gives a counter of them."""
    ends, done = asyncio.Event(), count()

    async def create(number: int) -> None:
        operations = [
            {"method": "POST", "path": "/Users", "bulkId": str(one), "data": user_document(active=one % 3 > 0)}
            for one in range(number)
        ]
        answer = await api.post("/scim/v2/Bulk", json=bulk_document(*operations))
        assert {one["status"] for one in answer.json()["Operations"]} == {"201"}, answer.text
        for _ in range(number):
            next(done)

    async def run() -> None:
        loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        began = loop.time()
        for batch in count():
            if ends.is_set():
                break
            tasks.add(asyncio.ensure_future(create(20)))
            await asyncio.sleep(max(0.0, began + batch * 20 / RATE - loop.time()))
        await asyncio.gather(*tasks)

    task = asyncio.ensure_future(run())
    try:
        yield done
    finally:
        ends.set()
        await task


async def test_comparisons_find_no_drift_while_users_groups_and_the_log_change_all_the_time(
    comparing: Comparing,
) -> None:
    ledger, compared = Ledger(comparing.api), 0
    async with ledger.writing(), created_at_rate(comparing.api) as created:
        await ledger.reached(20)
        began, first = asyncio.get_running_loop().time(), next(created)
        for _ in range(15):
            found = await comparing.compare()
            assert [one for one in found["gauges"] if one["drift"]] == [], found
            compared += len(found["gauges"])
        rate = (next(created) - first) / (asyncio.get_running_loop().time() - began)
    assert compared >= 8 * 10, found["problems"]
    assert rate >= RATE * 0.8, rate
    assert ledger.outcomes[Outcome.DONE] > 50
    assert await comparing.drifts() == {}


async def test_comparisons_see_logins_suspensions_nested_groups_clients_and_deletions(comparing: Comparing) -> None:
    api = comparing.api
    users = [await api.create_user(password=PASSWORD) for _ in range(4)]
    inner = await api.create_group([users[0]["id"], users[1]["id"]])
    outer = await api.create_group([inner["id"], users[2]["id"]])
    client = (await api.post("/users/clients", json={"name": "reporting", "scopes": ["users:read"]})).json()
    for user in users[:3]:
        body = {"tenant": comparing.tenant, "user_name": user["userName"], "password": PASSWORD}
        assert (await api.post("/users/login", json=body)).status_code == 200
    changed = user_document(userName=users[1]["userName"], active=False)
    assert (await api.put(f"{USERS}/{users[1]['id']}", json=changed)).status_code == 200
    assert await comparing.drifts() == {}
    assert await comparing.value("quartet_users", "state") == {"active": 3, "suspended": 1}
    assert (await api.delete(f"{USERS}/{users[0]['id']}")).status_code == 204
    assert (await api.delete(f"{GROUPS}/{inner['id']}")).status_code == 204
    assert (await api.delete(f"/users/clients/{client['client_id']}")).status_code == 204
    assert await comparing.drifts() == {}
    assert (await api.delete(f"{GROUPS}/{outer['id']}")).status_code == 204
    assert await comparing.drifts() == {}
    assert await comparing.value("quartet_memberships", "type") in ({"user": 0, "group": 0}, {})


def follows_its_schema(entry: dict[str, Any]) -> None:
    kind = entry["type"].removeprefix(TYPE_PREFIX)
    schema = json.loads((CHECKOUT / f"services/metrics/src/quartet_metrics/schemas/{kind}.json").read_text())
    Draft202012Validator(schema).validate(entry["data"])
    assert entry["data"].keys() == schema["properties"].keys()


async def distort(stack: Stack, tenant: str, amount: int, metric: str, labels: list[str]) -> None:
    """Have metrics count too many, as a lost or doubled event would."""
    async with database(stack, "metrics") as connection:
        await connection.execute(DISTORT, tenant, amount, metric, labels)


async def test_a_drift_is_a_metric_and_an_event_and_is_corrected_once_however_many_correct_it(
    comparing: Comparing, stack: Stack
) -> None:
    api = comparing.api
    for _ in range(3):
        await api.create_user()
    assert await comparing.drifts() == {}
    await distort(stack, comparing.tenant, 5, "quartet_users", ["active"])
    async with Ledger(api).writing():
        expected = {"quartet_users/active": 5}
        for _ in range(2):
            assert await comparing.drifts() == expected
        assert await comparing.value("quartet_metrics_drift", "metric") == {"quartet_users": 5}
        [event] = await eventually(lambda: api.entries(action="metrics.drift.detected"), "an entry")
        follows_its_schema(event)
        assert event["data"]["drift"] == event["data"]["counted"] - event["data"]["exists"] == 5
        assert event["data"]["labels"] == {"state": "active"}
        await asyncio.gather(
            *(
                comparing.platform.post(PATH, json={"tenant": comparing.tenant, "repair": True}, timeout=60)
                for _ in range(4)
            )
        )
    assert await comparing.drifts() == {}
    [event] = await eventually(lambda: api.entries(action="metrics.drift.repaired"), "an entry")
    follows_its_schema(event)
    assert event["data"]["drift"] == 5
    assert await comparing.value("quartet_metrics_drift", "metric") == {"quartet_users": 0}
    own = await listed_alone(comparing.platform, comparing.tenant)
    assert own["drifts"] == 0
    assert own["compared_at"] is not None
    total = (await api.get(USERS, params={"count": 0, "filter": "active eq true"})).json()["totalResults"]
    assert (await comparing.value("quartet_users", "state"))["active"] == total


async def listed_alone(platform: Api, tenant: str) -> dict[str, Any]:
    """What the list says of a tenant, read in pages of seven; no tenant is on two of them."""
    found: list[dict[str, Any]] = []
    onward: str | None = ""
    while onward is not None:
        page = (await platform.get(PATH, params={"count": 7, "cursor": onward})).json()
        found += page["tenants"]
        onward = page["next"]
    names = [one["tenant"] for one in found]
    assert names == sorted(set(names))
    return found[names.index(tenant)]


async def test_events_that_have_not_arrived_are_no_drift(comparing: Comparing, stack: Stack) -> None:
    api = comparing.api
    await api.create_user()
    assert await comparing.drifts() == {}
    async with paused(stack, "users-worker"):  # events stay in the outbox
        await asyncio.gather(*(api.create_user() for _ in range(20)))
        found = await comparing.compare()
        assert [one["drift"] for one in found["gauges"]] == [0] * 8, found
    async with stopped(stack, "audit-worker"):
        await asyncio.gather(*(api.create_user() for _ in range(20)))
        found = await comparing.compare()
        assert [one for one in found["gauges"] if one["drift"]] == [], found
    assert await comparing.drifts() == {}


async def test_a_dead_letter_keeps_only_its_own_tenant_from_being_compared(comparing: Comparing, stack: Stack) -> None:
    await comparing.api.create_user()
    assert await comparing.drifts() == {}
    other = new_tenant()
    for service, kept in (("metrics", 0), ("audit", 7)):
        async with database(stack, service) as connection:
            for tenant in (other, comparing.tenant):
                assert (await comparing.compare())["problems"] == []
                await connection.execute(BURY, tenant, service)
            found = await comparing.compare()
            assert len(found["gauges"]) == kept
            assert [one for one in found["problems"] if "redrive or discard them first" in one], found
            await connection.execute("DELETE FROM dead_letters WHERE tenant_id = $1", comparing.tenant)
    assert await comparing.drifts() == {}
