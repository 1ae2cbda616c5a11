"""Streams: real receivers get every entry, in order, whatever fails meanwhile."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.app import SERVICE
from quartet_audit.config import AuditConfig
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_audit.streams import stream_delivery, stream_network, stream_reading, stream_senders, stream_store
from quartet_audit.streams.stream_delivery import StreamDelivery
from quartet_audit.streams.stream_domain import GIVE_UP, LONGEST_PAUSE
from quartet_audit.trees.tree_domain import leaf_hash
from quartet_common.core.identifiers import new_id
from quartet_testing.authority import Authority
from quartet_testing.clock import Clock
from quartet_testing.conditions import eventually
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import new_tenant, run_service
from quartet_testing.stream_receivers import DROPPED, HttpReceiver, Received, SyslogReceiver
from services.audit.tests.conftest import MOMENT, Audit

if TYPE_CHECKING:
    from services.audit.tests.conftest import MakeEvent

STREAMS = ["audit:streams"]
MANY = 60


class Streaming(Audit):
    """The service, which may connect to loopback addresses, with a clock that can be put forward."""

    clock: Clock
    delivery: StreamDelivery
    pair: tuple[Path, Path]
    folder: Path

    async def send(self, tenant: str, method: str, path: str = "", body: object = None) -> tuple[int, Any]:
        """Status and JSON of a request about streams."""
        headers = self.tokens.headers(tenant, STREAMS, actor="admin")
        call = getattr(self.client, method)
        answer = await call(f"/audit/streams{path}", headers=headers, **({} if body is None else {"json": body}))
        return answer.status_code, None if answer.status_code == 204 else await answer.get_json(force=True)

    async def create(self, tenant: str, destination: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A new stream, from the first entry on."""
        body = {"name": "SIEM", "destination": destination, "from": 0, **more}
        status, answer = await self.send(tenant, "post", "", body)
        assert status == 201, answer
        return dict(answer)

    async def state(self, tenant: str, stream: dict[str, Any]) -> dict[str, Any]:
        """The stream as it is now."""
        status, answer = await self.send(tenant, "get", f"/{stream['id']}")
        assert status == 200, answer
        return dict(answer)

    async def run_due(self, delivery: StreamDelivery | None = None) -> int:
        """Deliver what is due now; the number of turns."""
        delivery, turns = delivery or self.delivery, 0
        while started := await delivery.start_due():
            turns += started
            await delivery.finish()
        return turns

    async def deliver_all(self, tenant: str, stream: dict[str, Any]) -> None:
        """Deliver until nothing waits, with the clock put forward to each next attempt."""
        for _ in range(500):
            await self.run_due()
            found = await self.state(tenant, stream)
            if not found["waiting"]:
                return
            assert found["paused"] is None, found
            self.clock.ahead += LONGEST_PAUSE
        raise AssertionError("it is never delivered")


@pytest.fixture(scope="module")
async def streaming(
    audit: Audit, config_for: ConfigFor[AuditConfig], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Streaming]:
    """The service with what streams need."""
    authority, folder = Authority(tmp_path_factory.mktemp("authority")), tmp_path_factory.mktemp("files")
    settings = {
        "stream_networks": (ip_network("127.0.0.1/32"),),
        "stream_ca": authority.bundle,
        "stream_dir": folder,
        "public_url": "https://quartet.example.com",
    }
    clock = Clock()
    config, owner = config_for(AuditConfig).model_copy(update=settings), config_for(AuditConfig, "migrate")
    async with run_service(SERVICE, config, owner, clock=clock) as service:
        found = Streaming(service, audit.owner)
        found.clock, found.folder = clock, folder
        found.delivery = StreamDelivery(service.container)
        found.pair = authority.issue("127.0.0.1", "siem.example.com")
        yield found
        await found.delivery._senders.close()


@pytest.fixture(autouse=True)
async def no_streams_of_other_tests(streaming: Streaming) -> AsyncIterator[None]:
    """Each test begins without streams, since a worker delivers those of all tenants."""
    yield
    async with streaming.container.database.transaction() as connection:
        await connection.execute("DELETE FROM streams")


def entries_of(received: Sequence[Received]) -> list[dict[str, Any]]:
    """The entries in the bodies of webhooks."""
    return [event for one in received for event in json.loads(one.body)["data"]["events"]]


def is_signed(received: Received, secret: str) -> bool:
    """Whether the signature is right, as the specification has it (Standard Webhooks)."""
    return received.headers["webhook-signature"] == signature(received, secret)


def signatures_of(received: Received, secrets: Sequence[str]) -> list[int]:
    """The places of the secrets that have signed, in the order of the header."""
    known = [signature(received, secret) for secret in secrets]
    return [known.index(one) for one in received.headers["webhook-signature"].split(" ")]


def signature(received: Received, secret: str) -> str:
    """The signature by a secret."""
    assert secret.startswith("whsec_")
    identifier, timestamp = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    content = identifier.encode() + b"." + timestamp.encode() + b"." + received.body
    expected = hmac.new(base64.b64decode(secret[6:]), content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(expected).decode()


async def test_a_webhook_gets_signed_batches_of_entries_as_they_are_listed(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant, data={"number": number}) for number in range(3)])
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        await streaming.run_due()
        await streaming.record([make_event(tenant=tenant, data={"text": "ä\0"})])
        await streaming.record([make_event(tenant=new_tenant())])
        await streaming.run_due()
    assert [len(entries_of([one])) for one in receiver.received] == [3, 1]
    assert entries_of(receiver.received) == (await streaming.page(tenant, order="asc"))["events"]
    assert all(is_signed(one, stream["secret"]) for one in receiver.received)
    assert json.loads(receiver.received[0].body)["type"] == "audit.entries"
    state = await streaming.state(tenant, stream)
    assert (state["next"], state["waiting"], state["problem"], "secret" in state) == (4, 0, None, False)
    assert state["delivered_time"] is not None


async def test_events_of_ocsf_have_the_hashes_of_their_leaves(streaming: Streaming, make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant) for _ in range(3)])
    async with HttpReceiver(streaming.pair) as receiver:
        await streaming.create(tenant, {"type": "webhook", "url": receiver.url()}, format="ocsf")
        await streaming.run_due()
    events = entries_of(receiver.received)
    async with streaming.container.database.connection() as connection:
        rows = await connection.fetch("SELECT leaf FROM leaves WHERE tenant_id = $1 ORDER BY sequence", tenant)
    assert [event["metadata"]["sequence"] for event in events] == [0, 1, 2]
    assert {event["class_uid"] for event in events} == {3001}
    hashes = [event["attestation_list"][0]["fingerprint"]["value"] for event in events]
    assert hashes == [leaf_hash(row["leaf"]).hex() for row in rows]


async def test_a_receiver_that_fails_half_of_the_time_gets_every_entry_in_order_once_per_id(
    streaming: Streaming, make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails before it has taken a batch, or its answer is lost afterwards; entries arrive all the time."""
    monkeypatch.setattr(stream_reading, "MAX_ENTRIES", 4)
    tenant, chance, taken = new_tenant(), random.Random(7), dict[str, list[str]]()  # noqa: S311  # nosec B311  # the same each time

    async def answer(received: Received) -> tuple[int, str]:
        what = chance.choice(["taken", "taken", "refused", "lost"])
        if what != "refused":
            taken.setdefault(received.headers["webhook-id"], [one["id"] for one in entries_of([received])])
        return {"taken": 200, "refused": 500, "lost": DROPPED}[what], ""

    events = [make_event(tenant=tenant) for _ in range(MANY)]
    async with HttpReceiver(streaming.pair, answer) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        for start in range(0, MANY, 3):
            await streaming.record(events[start : start + 3])
            await streaming.run_due()
            streaming.clock.ahead += LONGEST_PAUSE
        await streaming.deliver_all(tenant, stream)
    failed = len(receiver.received) - len(taken)
    assert failed >= 5, "it has really failed"
    assert [one for batch in taken.values() for one in batch] == [str(event.id) for event in events]


async def test_two_workers_deliver_each_entry_once_and_in_order(
    streaming: Streaming, make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reading, "MAX_ENTRIES", 2)
    monkeypatch.setattr(stream_delivery, "TURN", 0.0)  # a turn is one batch, so that the stream changes hands
    tenant, workers = new_tenant(), [StreamDelivery(streaming.container) for _ in range(2)]
    turns = Counter[int]()
    async with HttpReceiver(streaming.pair) as receiver:
        await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})

        async def work(number: int) -> None:
            async with asyncio.timeout(20):
                while len(entries_of(receiver.received)) < MANY:
                    turns[number] += await workers[number].start_due()
                    await workers[number].finish()

        events = [make_event(tenant=tenant) for _ in range(MANY)]
        await streaming.record(events)
        await asyncio.gather(work(0), work(1))
    assert [one["sequence"] for one in entries_of(receiver.received)] == list(range(MANY))
    assert min(turns[0], turns[1]) > 0
    for worker in workers:
        await worker._senders.close()


async def test_a_lease_that_has_ended_stores_nothing(streaming: Streaming, make_event: "MakeEvent") -> None:
    """A change of a stream that is being delivered has the last word; the entries may come twice."""
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant) for _ in range(3)])

    async def answer(_: Received) -> tuple[int, str]:
        if len(receiver.received) == 1:
            assert (await streaming.send(tenant, "post", f"/{stream['id']}/replay", {"from": 1}))[0] == 200
        return 200, ""

    async with HttpReceiver(streaming.pair, answer) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        await streaming.run_due()
    assert [one["sequence"] for one in entries_of(receiver.received)] == [0, 1, 2, 1, 2]
    first, second = (one.headers["webhook-id"] for one in receiver.received)
    assert first != second


async def test_a_worker_that_dies_leaves_its_streams_to_others_a_minute_later(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant)])
    async with HttpReceiver(streaming.pair) as receiver:
        await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        now = streaming.clock()
        async with streaming.container.database.transaction() as connection:
            assert await stream_store.claim(connection, new_id(), now, now + stream_delivery.LEASE, 1)
        assert await streaming.run_due() == 0
        streaming.clock.ahead += stream_delivery.LEASE
        assert await streaming.run_due() == 1
    assert [one["sequence"] for one in entries_of(receiver.received)] == [0]


async def test_a_worker_that_stops_leaves_its_streams_to_others_at_once(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant, never = new_tenant(), asyncio.Event()
    await streaming.record([make_event(tenant=tenant)])

    async def answer(_: Received) -> tuple[int, str]:
        if len(receiver.received) == 1:
            await never.wait()
        return 200, ""

    async with HttpReceiver(streaming.pair, answer) as receiver:
        await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        running = asyncio.ensure_future(StreamDelivery(streaming.container).run())

        async def is_asked() -> bool:
            return bool(receiver.received)

        await eventually(is_asked, "a delivery that has begun")
        running.cancel()
        await asyncio.wait([running])
        assert await streaming.run_due() == 1
        never.set()
    assert [one["sequence"] for one in entries_of(receiver.received)] == [0, 0]


async def test_a_secret_that_cannot_be_decrypted_is_a_failure_like_others(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant)])
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        async with streaming.container.database.transaction() as connection:
            await connection.execute("UPDATE streams SET secret = secret || 'x'")
        assert await streaming.run_due() == 1
    state = await streaming.state(tenant, stream)
    assert (state["failures"], receiver.received) == (1, [])
    assert "QUARTET_MASTER_KEY" in state["problem"]


async def test_a_destination_that_fails_for_three_days_is_paused_and_goes_on_where_it_was(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant)])
    async with HttpReceiver(streaming.pair) as receiver:
        url = receiver.url()
        stream = await streaming.create(tenant, {"type": "webhook", "url": url})
    attempts, began = 0, streaming.clock.ahead
    while (state := await streaming.state(tenant, stream))["paused"] is None:
        attempts += await streaming.run_due()
        assert streaming.clock.ahead - began < GIVE_UP + 2 * LONGEST_PAUSE
        streaming.clock.ahead += LONGEST_PAUSE
    assert attempts == 73, "each hour, and the first one"
    assert "3 days" in state["paused"]["reason"]
    assert "cannot be reached" in state["problem"]
    assert state["failures"] == attempts
    paused = [event for event in await streaming.service.outbox(tenant) if event.action == "audit.stream.paused"]
    assert [(event.actorid, event.actortype) for event in paused] == [("quartet-audit", "service")]
    assert (paused[0].subject, paused[0].data["reason"]) == (f"streams/{stream['id']}", state["paused"]["reason"])
    streaming.clock.ahead += GIVE_UP
    assert await streaming.run_due() == 0
    receiver = HttpReceiver(streaming.pair)
    receiver.port = int(url.rpartition(":")[2].partition("/")[0])
    async with receiver:
        status, state = await streaming.send(tenant, "post", f"/{stream['id']}/resume")
        assert (status, state["paused"], state["failures"]) == (200, None, 0)
        await streaming.run_due()
    assert [one["sequence"] for one in entries_of(receiver.received)] == [0]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 429, 500])
async def test_what_is_no_success_is_tried_again_later(
    streaming: Streaming, make_event: "MakeEvent", status: int
) -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant)])

    async def answer(_: Received) -> tuple[int, str]:
        headers = f"Location: {receiver.url('/elsewhere')}\r\nRetry-After: 1800\r\n"
        return (status, headers) if len(receiver.received) == 1 else (200, "")

    async with HttpReceiver(streaming.pair, answer) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        await streaming.run_due()
        state = await streaming.state(tenant, stream)
        assert (state["paused"], state["failures"], state["waiting"]) == (None, 1, 1)
        assert f"answers {status}" in state["problem"]
        streaming.clock.ahead += timedelta(minutes=1)
        assert await streaming.run_due() == (1 if status < 400 else 0), "Retry-After"
        streaming.clock.ahead += timedelta(minutes=30)
        await streaming.run_due()
    assert [one.path for one in receiver.received] == ["/hook", "/hook"], "redirects are not followed"
    assert receiver.received[0].headers["webhook-id"] == receiver.received[1].headers["webhook-id"]


async def test_410_pauses_at_once(streaming: Streaming, make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant)])

    async def answer(_: Received) -> tuple[int, str]:
        return 410, ""

    async with HttpReceiver(streaming.pair, answer) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        await streaming.run_due()
    state = await streaming.state(tenant, stream)
    assert "410" in state["paused"]["reason"]
    assert (await streaming.service.outbox(tenant))[-1].action == "audit.stream.paused"


async def test_a_slow_destination_delays_no_other(
    streaming: Streaming, make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_senders, "TIMEOUT", 0.5)
    tenants, never = [new_tenant() for _ in range(2)], asyncio.Event()

    async def answer(_: Received) -> tuple[int, str]:
        await never.wait()
        return 200, ""

    async with HttpReceiver(streaming.pair, answer) as slow, HttpReceiver(streaming.pair) as quick:
        for tenant in tenants:
            await streaming.record([make_event(tenant=tenant)])
        stream = await streaming.create(tenants[0], {"type": "webhook", "url": slow.url()})
        for tenant in tenants:
            await streaming.create(tenant, {"type": "webhook", "url": quick.url()})
        assert await streaming.delivery.start_due() == 3

        async def arrived() -> bool:
            return len(quick.received) == 2

        await eventually(arrived, "the entries of the others")
        assert (await streaming.state(tenants[0], stream))["failures"] == 0, "the slow one is still waited for"
        await streaming.delivery.finish()
        never.set()
    state = await streaming.state(tenants[0], stream)
    assert (state["failures"], state["problem"]) == (1, "the destination does not answer in time")


async def test_a_new_secret_and_the_former_one_sign_for_the_overlap(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        path, secrets = f"/{stream['id']}", [stream["secret"]]
        for hours in (24, 24, 0):
            status, changed = await streaming.send(tenant, "patch", path, {"rotate_secret": hours})
            assert status == 200, changed
            secrets.append(changed["secret"])
            await streaming.record([make_event(tenant=tenant)])
            await streaming.run_due()
        assert len(set(secrets)) == 4
        signatures = [signatures_of(one, secrets) for one in receiver.received]
        assert signatures == [[1, 0], [2, 1], [3]]
        assert (await streaming.send(tenant, "patch", path, {"rotate_secret": 1}))[0] == 200
        state = await streaming.state(tenant, stream)
        assert state["former_secret_until"] > state["created_time"]
        assert "secret" not in state
        streaming.clock.ahead += timedelta(hours=2)
        await streaming.record([make_event(tenant=tenant)])
        await streaming.run_due()
        assert receiver.received[-1].headers["webhook-signature"].count("v1,") == 1
    rotated = [one.data.get("secretRotated") for one in await streaming.service.outbox(tenant)]
    assert rotated == [None, True, True, True, True]
    file = await streaming.create(tenant, {"type": "file", "name": "log"})
    status, problem = await streaming.send(tenant, "patch", f"/{file['id']}", {"rotate_secret": 1})
    assert (status, "rotate_secret is for webhooks" in problem["detail"]) == (400, True)
    assert (await streaming.send(tenant, "patch", path, {"rotate_secret": 169}))[0] == 400


async def test_filters_choose_the_entries_of_a_stream(streaming: Streaming, make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    actions = ("users.user.created", "users.user.updated", "groups.group.created", "users.request.refused")
    await streaming.record(
        [
            make_event(
                actions[number % 4],
                tenant,
                actorid=("okta", "entra")[number % 2],
                subject=f"{('things', 'parts')[number % 2]}/{number % 3}",
                sourceip=f"192.0.2.{number % 4}",
                data={"text": f"number {number}"},
                traceparent=f"00-{'5' * 32}-{'6' * 16}-01" if number % 5 == 0 else None,
                time=MOMENT + timedelta(seconds=number),
                outcome="denied" if number % 4 == 3 else "success",
            )
            for number in range(24)
        ]
    )
    wanted: list[dict[str, str]] = [
        {"action": "users.user.*"},
        {"action": "groups.group.created", "actor": "okta"},
        {"resource": "2", "outcome": "denied"},
        {"actor": "nobody"},
        {"resource_type": "parts", "address": "192.0.2.0/31"},
        {"trace_id": "5" * 32, "text": "NUMBER 15"},
        {"from": "2026-01-31T09:00:10Z", "to": "2026-01-31T09:00:12Z"},
    ]
    for filters in wanted:
        async with HttpReceiver(streaming.pair) as receiver:
            stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()}, filters=filters)
            assert stream["filters"] == filters
            await streaming.run_due()
        expected = await streaming.find(tenant, **filters, order="asc")
        assert entries_of(receiver.received) == sorted(expected, key=lambda entry: int(entry["sequence"]))
        assert (await streaming.state(tenant, stream))["waiting"] == 0


async def test_a_replay_begins_at_an_index_or_at_a_time(streaming: Streaming, make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    for _ in range(4):
        await streaming.record([make_event(tenant=tenant)])
    entries = (await streaming.page(tenant, order="asc"))["events"]
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()}, **{"from": 4})
        assert await streaming.run_due() == 0
        for start, first in [(1, 1), (entries[2]["recorded_time"], 2), ("2020-01-01T00:00:00Z", 0), (1, 1), (4, 4)]:
            before = len(entries_of(receiver.received))
            status, state = await streaming.send(tenant, "post", f"/{stream['id']}/replay", {"from": start})
            assert (status, state["next"]) == (200, first)
            await streaming.run_due()
            assert [one["sequence"] for one in entries_of(receiver.received)[before:]] == list(range(first, 4))
        status, problem = await streaming.send(tenant, "post", f"/{stream['id']}/replay", {"from": 5})
        assert (status, problem["detail"]) == (400, "from must be at most 4, the size of the log, got 5.")
    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert len(set(ids)) == len(ids), "a receiver that knows the ids of messages takes a replay"


async def test_erased_parts_are_shown_as_erased(streaming: Streaming, make_event: "MakeEvent") -> None:
    tenant, user = new_tenant(), str(new_id())
    await streaming.record([make_event(tenant=tenant, subject=f"users/{user}", data={"userName": "bjensen"})])
    filters = {"action": "users.*"}
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()}, filters=filters)
        await streaming.run_due()
        headers = streaming.tokens.headers(tenant, ["audit:erase"])
        answer = await streaming.client.post("/audit/erasures", headers=headers, json={"user": user})
        await streaming.deliver(tenant)
        await carry_out_all(streaming.container)
        await streaming.send(tenant, "post", f"/{stream['id']}/replay", {"from": 0})
        await streaming.run_due()
    before, after = entries_of(receiver.received)
    assert (before["data"], before["resource_name"]) == ({"userName": "bjensen"}, "bjensen")
    assert (after["data"], after["resource_name"]) == (None, None)
    request = (await answer.get_json())["id"]
    assert {(one["part"], one["request"]) for one in after["erased"]} == {("changes", request), ("resource", request)}
    assert b"bjensen" not in receiver.received[1].body


async def test_splunk_gets_an_object_for_each_entry(streaming: Streaming, make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant), make_event(tenant=tenant)])
    async with HttpReceiver(streaming.pair) as receiver:
        destination = {"type": "splunk", "url": receiver.url("/services/collector/event"), "index": "audit"}
        stream = await streaming.create(tenant, {**destination, "token": "11111111-2222"})
        await streaming.run_due()
    assert stream["destination"] == destination
    assert "secret" not in stream
    [received] = receiver.received
    assert (received.path, received.headers["authorization"]) == ("/services/collector/event", "Splunk 11111111-2222")
    objects = [json.loads(line) for line in received.body.splitlines()]
    assert [one["event"] for one in objects] == (await streaming.page(tenant, order="asc"))["events"]
    shown = {name: value for name, value in objects[0].items() if name != "event"}
    assert shown == {
        "time": 1769850000.0,
        "host": "quartet.example.com",
        "source": "quartet",
        "sourcetype": "quartet:audit",
        "index": "audit",
    }


async def test_syslog_gets_a_message_for_each_entry_and_again_after_a_reset(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant), make_event("users.request.refused", tenant, outcome="denied")])
    async with SyslogReceiver(streaming.pair) as receiver:
        receiver.resets = 1
        stream = await streaming.create(tenant, {"type": "syslog", "host": "127.0.0.1", "port": receiver.port})
        await streaming.run_due()
        assert receiver.messages == []
        assert (await streaming.state(tenant, stream))["failures"] == 1
        await streaming.deliver_all(tenant, stream)
    entries = (await streaming.page(tenant, order="asc"))["events"]
    heads = [message[: message.index(b"{")] for message in receiver.messages]
    assert heads == [
        b"<110>1 2026-01-31T09:00:00.000000Z quartet.example.com quartet-audit - users.user.created - ",
        b"<108>1 2026-01-31T09:00:00.000000Z quartet.example.com quartet-audit - users.request.refused - ",
    ]
    assert [json.loads(message[message.index(b"{") :]) for message in receiver.messages] == entries


async def test_a_file_gets_a_line_for_each_entry_in_the_folder_of_its_tenant(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await streaming.record([make_event(tenant=tenant), make_event(tenant=tenant)])
    file = streaming.folder / tenant / "log.ndjson"
    file.parent.mkdir()
    file.write_bytes(b'{"half":')  # as after a crash
    await streaming.create(tenant, {"type": "file", "name": "log.ndjson"})
    await streaming.run_due()
    await streaming.record([make_event(tenant=tenant)])
    await streaming.run_due()
    broken, *lines = file.read_bytes().splitlines()
    assert broken == b'{"half":'
    assert [json.loads(line) for line in lines] == (await streaming.page(tenant, order="asc"))["events"]
    outside = streaming.folder / "outside"
    (file.parent / "link").symlink_to(outside)
    stream = await streaming.create(tenant, {"type": "file", "name": "link"})
    await streaming.run_due()
    assert (await streaming.state(tenant, stream))["failures"] == 1
    assert not outside.exists()


async def test_a_name_that_leads_to_a_private_address_later_is_paused(
    streaming: Streaming, make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what counts is the address that would be connected to."""
    tenant, address = new_tenant(), "127.0.0.1"
    await streaming.record([make_event(tenant=tenant)])
    monkeypatch.setattr(stream_network, "_addresses", lambda _host, _port: [address])
    async with HttpReceiver(streaming.pair) as receiver, SyslogReceiver(streaming.pair) as syslog:
        url = receiver.url(host="siem.example.com")
        streams = [
            await streaming.create(tenant, {"type": "webhook", "url": url}),
            await streaming.create(tenant, {"type": "syslog", "host": "siem.example.com", "port": syslog.port}),
        ]
        await streaming.run_due()
        assert len(receiver.received) == len(syslog.messages) == 1, "the certificate is for the name"
        await streaming.delivery._senders.close()
        streaming.delivery = StreamDelivery(streaming.container)  # without open connections
        address = "127.0.0.2"
        await streaming.record([make_event(tenant=tenant)])
        await streaming.run_due()
        assert (receiver.connections, syslog.connections) == (1, 1)
    for stream in streams:
        reason = (await streaming.state(tenant, stream))["paused"]["reason"]
        assert "siem.example.com has the address 127.0.0.2" in reason


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.2", "127.0.0.2"),
        ("10.0.0.1", "10.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("[::ffff:10.0.0.1]", "::ffff:10.0.0.1"),
        ("[fe80::1]", "fe80::1"),
        ("2130706434", "127.0.0.2"),
        ("0x7f.2", "127.0.0.2"),
        ("224.0.0.1", "224.0.0.1"),
    ],
)
async def test_an_address_that_is_not_public_is_refused(streaming: Streaming, host: str, address: str) -> None:
    tenant = new_tenant()
    for destination in (
        {"type": "webhook", "url": f"https://{host}/"},
        {"type": "splunk", "url": f"https://{host}:8088/", "token": "t"},
        {"type": "syslog", "host": host.strip("[]")},
    ):
        status, problem = await streaming.send(tenant, "post", "", {"name": "x", "destination": destination})
        assert (status, problem["code"]) == (400, "address_refused"), destination
        assert f"has the address {address}," in problem["detail"]
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
    body = {"destination": {"type": "webhook", "url": f"https://{host}/"}}
    assert (await streaming.send(tenant, "patch", f"/{stream['id']}", body))[0] == 400


WEBHOOK = {"type": "webhook", "url": "https://127.0.0.1/"}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"destination": {"type": "webhook", "url": "http://example.com/"}}, "destination.url must be an https URL"),
        ({"destination": {"type": "webhook", "url": "https://u:p@example.com/"}}, "without user name"),
        ({"destination": {"type": "webhook", "url": "https://example.com:0x1/"}}, "destination.url must be"),
        ({"destination": {"type": "webhook", "url": "https://exa mple.com/"}}, "destination.url must be"),
        ({"destination": {"type": "webhook", "url": "https://no.invalid/"}}, "no.invalid cannot be resolved"),
        ({"destination": {"type": "splunk", "url": "https://127.0.0.1/"}}, "destination.token is missing"),
        ({"destination": {"type": "file", "name": "../x"}}, "destination.name must be a file name"),
        ({"destination": {"type": "ftp"}}, "destination.type"),
        ({"destination": {**WEBHOOK, "token": "t"}}, "unknown member 'token'"),
        ({"destination": WEBHOOK, "format": "cef"}, "format must be one of quartet, ocsf, got 'cef'"),
        ({"destination": WEBHOOK, "filters": {"actions": "x"}}, "unknown member 'actions'"),
        ({"destination": WEBHOOK, "filters": {"trace_id": "x"}}, "filters.trace_id must have 32 hexadecimal digits"),
        ({"destination": WEBHOOK, "from": -1}, "from"),
        ({"destination": WEBHOOK, "from": 1}, "from must be at most 0, the size of the log, got 1"),
        ({"destination": WEBHOOK, "from": "yesterday"}, "from must be a date and time"),
        ({"destination": WEBHOOK, "name": ""}, "name must not be empty"),
    ],
)
async def test_a_stream_that_cannot_be_is_refused_by_name(
    streaming: Streaming, body: dict[str, Any], detail: str
) -> None:
    tenant = new_tenant()
    status, problem = await streaming.send(tenant, "post", "", {"name": "x", **body})
    assert status == 400
    assert detail in problem["detail"]
    assert (await streaming.send(tenant, "get"))[1] == {"streams": []}


async def test_streams_are_listed_changed_and_deleted_and_the_log_tells_who_did(
    streaming: Streaming, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
        secret, path = stream.pop("secret"), f"/{stream['id']}"
        assert await streaming.send(tenant, "get") == (200, {"streams": [stream]})
        assert (await streaming.send(tenant, "post", f"{path}/pause"))[1]["paused"]["reason"] == "paused by a request"
        await streaming.record([make_event(tenant=tenant)])
        assert await streaming.run_due() == 0
        assert (await streaming.send(tenant, "post", f"{path}/resume"))[1]["paused"] is None
        url = receiver.url("/other")
        change = {"name": "other", "destination": {"type": "webhook", "url": url}, "filters": {"actor": "tester"}}
        status, changed = await streaming.send(tenant, "patch", path, change)
        assert (status, "secret" in changed) == (200, False)
        assert {name: changed[name] for name in change} == change
        await streaming.run_due()
        assert [one.path for one in receiver.received] == ["/other"]
        assert is_signed(receiver.received[0], secret)
        async with streaming.container.database.connection() as connection:
            rows = await connection.fetch("SELECT s::text AS row FROM streams s WHERE tenant_id = $1", tenant)
            assert not [row for row in rows if secret[6:] in row["row"]]
        assert (await streaming.send(tenant, "delete", path))[0] == 204
        for method, rest in (("get", ""), ("delete", ""), ("post", "/pause"), ("post", "/resume")):
            assert (await streaming.send(tenant, method, path + rest))[0] == 404
    events = await streaming.service.outbox(tenant)
    done = ["created", "paused", "resumed", "updated", "deleted"]
    assert [event.action for event in events] == [f"audit.stream.{what}" for what in done]
    assert {event.actorid for event in events} == {"admin"}
    assert events[0].data["target"] == f"127.0.0.1:{receiver.port}", "without the path, which may be secret"


async def test_a_stream_of_another_tenant_is_not_found(streaming: Streaming) -> None:
    tenant, other = new_tenant(), new_tenant()
    async with HttpReceiver(streaming.pair) as receiver:
        stream = await streaming.create(tenant, {"type": "webhook", "url": receiver.url()})
    path = f"/{stream['id']}"
    assert (await streaming.send(other, "get"))[1] == {"streams": []}
    for method, rest, body in (
        ("get", "", None),
        ("patch", "", {"name": "x"}),
        ("delete", "", None),
        ("post", "/pause", None),
        ("post", "/resume", None),
        ("post", "/replay", {"from": 0}),
    ):
        assert (await streaming.send(other, method, path + rest, body))[0] == 404
    assert (await streaming.send(tenant, "get", "/1"))[0] == 404
    assert (await streaming.state(tenant, stream))["next"] == 0


async def test_a_tenant_has_ten_streams_at_most(streaming: Streaming) -> None:
    tenant = new_tenant()
    body = {"name": "x", "destination": {"type": "file", "name": "x"}}
    answers = await asyncio.gather(*(streaming.send(tenant, "post", "", body) for _ in range(12)))
    assert sorted(status for status, _ in answers) == [201] * 10 + [409] * 2


async def test_a_worker_begins_with_one_stream_of_each_tenant(
    streaming: Streaming, make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_delivery, "MAX_RUNNING", 2)
    tenants = sorted(new_tenant() for _ in range(2))
    for tenant, count in zip(tenants, (4, 1), strict=True):
        await streaming.record([make_event(tenant=tenant)])
        for number in range(count):
            await streaming.create(tenant, {"type": "file", "name": f"fair-{number}"})
    assert await streaming.delivery.start_due() == 2
    await streaming.delivery.finish()
    for tenant in tenants:
        assert len(list((streaming.folder / tenant).iterdir())) == 1
    await streaming.run_due()
    assert len(list((streaming.folder / tenants[0]).iterdir())) == 4


async def test_files_are_off_unless_the_operator_has_set_a_folder(audit: Audit) -> None:
    headers = audit.tokens.headers(new_tenant(), STREAMS)
    body = {"name": "x", "destination": {"type": "file", "name": "x"}}
    answer = await audit.client.post("/audit/streams", headers=headers, json=body)
    assert (answer.status_code, "QUARTET_STREAM_DIR" in (await answer.get_json(force=True))["detail"]) == (400, True)
