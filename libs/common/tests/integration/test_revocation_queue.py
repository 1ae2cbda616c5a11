"""The revocation queue and urgent events: they leave before all others, in their own order, on a separate queue."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aio_pika import Message
from quart import Quart

from quartet_common.config.settings import ServiceConfig
from quartet_common.data.connections import Connection
from quartet_common.messaging import batches as batching
from quartet_common.messaging import inbox
from quartet_common.messaging.batches import OutboxRow
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.deliveries import ATTEMPT_HEADER
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.event_types import REVOKED
from quartet_common.messaging.redrive import RedriveSender
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import RETRY_DELAYS, QueueNames, revocation_queue
from quartet_common.runtime import revocation_events
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import dead_letters, rabbitmq
from quartet_testing.conditions import eventually
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    MakeEvent,
    Thing,
    add,
    drained,
    messages_in,
    relay_of,
    running,
    store_dead_letters,
)
from quartet_testing.services import new_tenant, run_service

REVOCATIONS = QueueNames(revocation_queue("common"))


async def arrived(container: Container, channel: Channel, number: int) -> list[str]:
    """What is in the main queue once the outbox is empty: subjects with their sequences, in order."""
    await drained(container)
    queue = await channel.get_queue(NAMES.main)
    bodies: list[dict[str, Any]] = []
    while len(bodies) < number:
        found = orjson.loads((await queue.get(no_ack=True)).body)
        bodies += found if isinstance(found, list) else [found]
    return [f"{body['subject']}:{body['sequence']}" for body in bodies]


async def test_what_is_urgent_leaves_before_all_that_waits_and_in_its_own_order(
    container: Container, channel: Channel, thing: Thing
) -> None:
    tenant = new_tenant()
    await add(container, tenant, [thing(f"{number}") for number in range(300)])
    for sequence in range(1, 6):
        await add(container, tenant, [replace(thing(name, sequence), urgent=True) for name in ("a", "b")])
    async with running(relay_of(container)):
        order = await arrived(container, channel, 310)
    assert sorted(order[:10]) == sorted(f"things/{name}:{sequence}" for name in "ab" for sequence in range(1, 6))
    for name in "ab":
        own = [one for one in order if one.startswith(f"things/{name}:")]
        assert own == [f"things/{name}:{sequence}" for sequence in range(1, 6)]
    assert sorted(order[10:]) == sorted(f"things/{number}:1" for number in range(300))


async def test_what_becomes_urgent_while_others_leave_does_not_wait_for_all_of_them(
    container: Container, channel: Channel, thing: Thing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH", 20)
    tenant, relay = new_tenant(), relay_of(container)
    publish = relay._publish
    batches: list[int] = []

    async def publishing(rows: Sequence[OutboxRow]) -> int:
        done = await publish(rows)
        batches.append(len(rows))
        if len(batches) == 2:
            await add(container, tenant, [replace(thing("urgent"), urgent=True)])
        return done

    monkeypatch.setattr(relay, "_publish", publishing)
    await add(container, tenant, [thing(f"{number}") for number in range(200)])
    async with running(relay):
        order = await arrived(container, channel, 201)
    assert order.index("things/urgent:1") == 40
    assert batches[:4] == [20, 20, 1, 20]


async def test_what_is_urgent_and_nobody_takes_does_not_hold_up_the_rest(
    container: Container, channel: Channel, thing: Thing
) -> None:
    stuck = replace(thing("stuck", 1, "nowhere.thing.happened.v1"), urgent=True)
    await add(container, new_tenant(), [stuck, thing("free")])
    async with running(relay_of(container)):
        queue = await channel.get_queue(NAMES.main)

        async def came() -> bool:
            return await queue.get(no_ack=True, fail=False) is not None

        await eventually(came, "the other event")


@pytest.fixture
def revoked(event: MakeEvent) -> Callable[[str, datetime], Event]:
    """Makes the event of a session's revocation."""

    def make(tenant: str, at: datetime) -> Event:
        data = {"tenant": tenant, "kind": "session", "id": "s", "revokedAt": at.isoformat(), "endless": False}
        return event(tenant, REVOKED, data=data)

    return make


@pytest.fixture
async def empty_queue(container: Container, channel: Channel) -> None:
    """The queues of revocations are empty."""
    for name in REVOCATIONS.all:
        await (await channel.get_queue(name)).purge()


def revocation_consumer(container: Container, totals: Any) -> Consumer:
    """As the worker has it."""
    taking = [Subscription(REVOKED, revocation_events.handle_events)]
    return Consumer(
        REVOCATIONS.service, container.broker, container.database, taking, totals, batch=50, take_new=inbox.take_all
    )


async def kept(container: Container, tenant: str) -> list[datetime]:
    async with container.database.connection() as connection:
        rows = await connection.fetch("SELECT revoked_at FROM revocations WHERE tenant_id = $1", tenant)
    return [row["revoked_at"] for row in rows]


async def put(channel: Channel, queue: str, body: bytes, **headers: Any) -> None:
    message = Message(body, message_id="the-id", headers=headers)
    await channel.default_exchange.publish(message, queue)


async def test_a_service_that_records_every_event_takes_a_revocation_in_all_the_same(
    container: Container, channel: Channel, empty_queue: None, revoked: Callable[..., Event], totals: Any
) -> None:
    """Both of its consumers get the event, in whatever order; the inbox of the one is nothing to the other."""
    recorded: list[Event] = []

    async def record(_: Connection, events: Sequence[Event]) -> None:
        recorded.extend(events)

    tenants = [new_tenant() for _ in range(10)]
    own = Consumer("common", container.broker, container.database, [Subscription("#", record)], totals)
    async with running(own), running(revocation_consumer(container, totals)):
        for number, tenant in enumerate(tenants):
            body = encode(revoked(tenant, container.clock()))
            for queue in (NAMES.main, REVOCATIONS.main) if number % 2 else (REVOCATIONS.main, NAMES.main):
                await put(channel, queue, body)
        await totals.reach(20)
    assert [len(await kept(container, tenant)) for tenant in tenants] == [1] * 10
    assert sorted(one.tenantid for one in recorded) == sorted(tenants)
    assert totals.results == {"handled": 20}


async def test_a_revocation_that_comes_twice_or_late_changes_nothing(
    container: Container, channel: Channel, empty_queue: None, revoked: Callable[..., Event], totals: Any
) -> None:
    tenant, now = new_tenant(), datetime.now(UTC)
    events = [revoked(tenant, now), revoked(tenant, now - timedelta(minutes=1))]
    async with running(revocation_consumer(container, totals)):
        for one in (events[0], events[1], events[0]):
            await put(channel, REVOCATIONS.main, encode(one))
        await totals.reach(3)
    assert await kept(container, tenant) == [now]


async def test_one_that_cannot_be_read_is_a_dead_letter_that_operators_see_and_redrive(
    container: Container, channel: Channel, empty_queue: None, event: MakeEvent, totals: Any, config: ServiceConfig
) -> None:
    tenant = new_tenant()
    await (await channel.get_queue(NAMES.dead)).purge()
    async with running(revocation_consumer(container, totals)):
        bad = event(tenant, REVOKED, data={"tenant": tenant, "kind": "everybody"})
        await put(channel, REVOCATIONS.main, encode(bad), **{ATTEMPT_HEADER: len(RETRY_DELAYS)})
        await totals.reach(1)
    assert totals.results == {"dead": 1}

    def create_app(made: AppContainer[ServiceConfig]) -> Quart:
        app = create_base_app(made, title="Common")
        app.register_blueprint(rabbitmq.blueprint, url_prefix="/common/rabbitmq")
        app.register_blueprint(dead_letters.blueprint, url_prefix="/common/rabbitmq")
        return app

    service: Service[Any] = Service("quartet_common", type(config), create_app, lambda _: [])
    async with run_service(service, config) as operated:
        headers = operated.tokens.headers(tenant, ["events:manage"])
        queues = await (await operated.client.get("/common/rabbitmq/queues", headers=headers)).get_json()
        assert {REVOCATIONS.main, REVOCATIONS.dead, NAMES.main} <= {queue["name"] for queue in queues["queues"]}
        await store_dead_letters(container, REVOCATIONS.service)
        answer = await (await operated.client.get("/common/rabbitmq/dead-letters", headers=headers)).get_json()
        [letter] = answer["dead_letters"]
        assert (letter["message_id"], letter["tenant"], letter["consumer"]) == ("the-id", tenant, REVOCATIONS.service)
        assert letter["reason"].startswith("ValidationError: Invalid enum value 'everybody'")
        body = {"ids": [letter["id"]]}
        done = await operated.client.post("/common/rabbitmq/redrives", json=body, headers=headers)
        assert done.status_code == 202
    sender = RedriveSender("common", container.broker, lambda: container.database, container.clock)

    async def is_sent() -> bool:
        await sender.run()
        return await messages_in(channel, REVOCATIONS.main) == 1

    await eventually(is_sent, "the dead letter to be sent back")
    back = await (await channel.get_queue(REVOCATIONS.main)).get(no_ack=True)
    assert back.body == encode(bad)
