"""Deleted tenants: everything of theirs goes, of nobody else's, whatever happens meanwhile; and nothing comes back."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel

from quartet_common.auth.principal import Principal
from quartet_common.auth.revocation_list import RevocationList
from quartet_common.auth.revocation_store import keep
from quartet_common.auth.revocations import revocation
from quartet_common.core.clock import utc_now
from quartet_common.core.errors import UnavailableError
from quartet_common.data import tenant_rows
from quartet_common.data.connections import Connection
from quartet_common.messaging import event_types, inbox
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import QueueNames, revocation_queue
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.tenant_deletion import Eraser, Erasure
from quartet_testing.messaging import Container, MakeEvent, store_dead_letters
from quartet_testing.services import new_tenant

MAKE = """
CREATE TABLE branches (tenant_id text, id integer, PRIMARY KEY (tenant_id, id));
CREATE TABLE "Leaves" (tenant_id text, id integer, branch integer, PRIMARY KEY (tenant_id, id),
                       FOREIGN KEY (tenant_id, branch) REFERENCES branches (tenant_id, id));
CREATE TABLE a_total (tenant_id text PRIMARY KEY, total bigint);
CREATE TABLE nobodys (id integer PRIMARY KEY);
CREATE FUNCTION count_leaves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO a_total AS t SELECT tenant_id, 1 FROM changed GROUP BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET total = t.total + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER DELETE ON "Leaves"
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_leaves();
"""
DROP = 'DROP TABLE "Leaves", branches, a_total, nobodys; DROP FUNCTION count_leaves'
OWN = ("Leaves", "branches", "a_total")
QUEUES = [QueueNames("common"), QueueNames(revocation_queue("common"))]


class Service:
    """The service `common` with tables of every kind, and what is done to them."""

    def __init__(self, container: Container) -> None:
        self.database = container.database
        self.now = utc_now() + timedelta(seconds=5)  # behind every tombstone of the test

    def eraser(self, **options: Any) -> Eraser:
        return Eraser(lambda: self.database, lambda: self.now, Erasure(**{"batch": 3, **options}))

    async def run(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement, *values)

    async def fill(self, tenant: str, number: int = 10) -> None:
        await self.run("INSERT INTO branches SELECT $1, n FROM generate_series(1, $2) n", tenant, number)
        await self.run('INSERT INTO "Leaves" SELECT $1, n, n FROM generate_series(1, $2) n', tenant, number)
        await self.run("INSERT INTO a_total VALUES ($1, 0) ON CONFLICT DO NOTHING", tenant)

    async def bury(self, tenant: str) -> None:
        async with self.database.transaction() as connection:
            await tenant_deletion.record_tombstone(connection, tenant)

    async def left(self, tenant: str) -> list[int]:
        return [await self.run(f'SELECT count(*) FROM "{name}" WHERE tenant_id = $1', tenant) for name in OWN]

    async def due(self, tenant: str) -> datetime | None:
        found: datetime | None = await self.run("SELECT due_at FROM deleted_tenants WHERE tenant_id = $1", tenant)
        return found


@pytest.fixture
async def service(container: Container) -> AsyncIterator[Service]:
    """Its tables are gone afterwards, and no tenant of another test is due."""
    made = Service(container)
    async with container.database.transaction() as connection:
        await connection.execute("UPDATE deleted_tenants SET due_at = NULL")
        await connection.execute(MAKE)
    yield made
    async with container.database.transaction() as connection:
        await connection.execute(DROP)


async def test_children_are_emptied_before_parents_and_totals_last(service: Service) -> None:
    async with service.database.connection() as connection:
        found = await tenant_rows.tables(connection)
    assert found.index("Leaves") < found.index("branches") < found.index("a_total")
    assert {"inbox", "outbox", "revocations", "deleted_tenants"} <= set(found)
    assert {"nobodys", "schema_migrations"}.isdisjoint(found)


def test_tables_that_refer_in_a_circle_are_an_error_and_no_endless_loop() -> None:
    with pytest.raises(ValueError, match="in a circle: a, b"):
        tenant_rows.children_first(["a", "b", "c"], [("a", "b"), ("b", "a"), ("c", "a")])


async def test_everything_of_the_tenant_goes_in_small_batches_and_nothing_of_another(service: Service) -> None:
    gone, other = new_tenant(), new_tenant()
    for tenant in (gone, other):
        await service.fill(tenant)
    await service.eraser().run()
    assert await service.left(gone) == [10, 10, 1]
    await service.bury(gone)
    await service.bury(gone)
    await service.eraser().run()
    assert await service.left(gone) == [0, 0, 0]
    assert await service.left(other) == [10, 10, 1]


async def test_a_worker_that_ends_in_the_middle_leaves_the_rest_to_the_next(service: Service) -> None:
    tenant = new_tenant()
    await service.fill(tenant)
    await service.bury(tenant)
    batches = 0

    async def erase(connection: Connection, who: str, limit: int) -> int:
        nonlocal batches
        batches += 1
        if batches == 3:
            raise asyncio.CancelledError
        return await tenant_rows.erase_rows(connection, "Leaves", who, limit)

    with pytest.raises(asyncio.CancelledError):
        await service.eraser(own={"Leaves": erase}).run()
    assert await service.left(tenant) == [4, 10, 1]
    await service.eraser().run()
    assert await service.left(tenant) == [0, 0, 0]


async def test_a_tenant_whose_rows_cannot_be_removed_stays_due_and_stops_no_other(service: Service) -> None:
    tenants = [new_tenant(), new_tenant()]
    for tenant in tenants:
        await service.fill(tenant)
        await service.bury(tenant)

    async def erase(connection: Connection, who: str, limit: int) -> int:
        if who == tenants[0]:
            raise UnavailableError("postgresql")
        return await tenant_rows.erase_rows(connection, "Leaves", who, limit)

    await service.eraser(own={"Leaves": erase}).run()
    assert await service.left(tenants[1]) == [0, 0, 0]
    await service.eraser().run()
    assert await service.left(tenants[0]) == [0, 0, 0]


async def test_workers_that_erase_at_once_do_it_once(service: Service) -> None:
    tenant = new_tenant()
    await service.fill(tenant, 100)
    await service.bury(tenant)
    await asyncio.gather(*(service.eraser().run() for _ in range(3)))
    await service.eraser().run()
    assert await service.left(tenant) == [0, 0, 0]


async def test_what_was_written_meanwhile_is_found_until_no_token_can_be_left(service: Service) -> None:
    tenant = new_tenant()
    await service.bury(tenant)
    began, rests = service.now, []
    while (due := await service.due(tenant)) is not None:
        service.now = max(due, service.now)
        await service.fill(tenant)
        await service.eraser().run()
        assert await service.left(tenant) == [0, 0, 0]
        assert await service.due(tenant) == service.now  # something was found: looked again at once
        await service.eraser().run()
        rests.append((await service.due(tenant) or service.now) - service.now)
    assert service.now - began > timedelta(hours=2)
    assert rests[:-1] == sorted(rests[:-1])
    assert len(rests) < 20


async def test_nothing_is_taken_in_of_a_deleted_tenant_not_even_when_it_comes_again(
    service: Service, event: MakeEvent
) -> None:
    gone, other = new_tenant(), new_tenant()
    before, late, others = event(gone), event(gone), event(other)
    async with service.database.transaction() as connection:
        assert await inbox.add(connection, [before, others]) == [before, others]
    await service.bury(gone)
    await service.eraser().run()
    assert await service.run("SELECT count(*) FROM inbox WHERE tenant_id = $1", gone) == 0
    again = event(other)
    async with service.database.transaction() as connection:
        assert await inbox.add(connection, [before, late, others, again]) == [again]
    assert await service.run("SELECT count(*) FROM inbox WHERE tenant_id = $1", gone) == 0


async def put(channel: AbstractChannel, queue: str, *bodies: bytes) -> None:
    """Put messages into a queue, confirmed."""
    for body in bodies:
        await channel.default_exchange.publish(Message(body), queue)


async def letters_of(container: Container, tenants: Collection[str]) -> list[bytes]:
    """The payloads of the dead letters of tenants, oldest first."""
    async with container.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT body FROM dead_letters WHERE tenant_id = ANY($1::text[]) ORDER BY id", list(tenants)
        )
    return [row["body"] for row in rows]


async def test_dead_letters_of_the_tenant_go_and_those_of_others_stay_as_they_were(
    service: Service, container: Container, channel: AbstractChannel, event: MakeEvent
) -> None:
    gone, other = new_tenant(), new_tenant()
    odd = [b"no event", b"[1]", b'{"tenantid": ["%s"]}' % gone.encode()]
    kept = [encode(event(other)), *odd, encode(event(other))]
    for queue in (names.dead for names in QUEUES):
        await (await channel.get_queue(queue)).purge()
        await put(channel, queue, encode(event(gone)), kept[0], encode(event(gone)), *kept[1:])
    await store_dead_letters(container, *(names.service for names in QUEUES))
    await service.bury(gone)
    for queue in (names.dead for names in QUEUES):
        await put(channel, queue, encode(event(gone)))
    await store_dead_letters(container, *(names.service for names in QUEUES))  # these are of a deleted tenant already
    assert len(await letters_of(container, [gone])) == 4
    await service.eraser().run()
    assert await service.due(gone) == service.now  # something was found: looked again at once
    assert await letters_of(container, [gone]) == []
    assert await letters_of(container, [other, ""]) == [*kept, *kept]


async def test_a_dead_letter_that_is_put_back_has_no_effect_once_its_tenant_is_deleted(
    service: Service, container: Container, channel: AbstractChannel, event: MakeEvent, totals: Any
) -> None:
    gone, other = new_tenant(), new_tenant()
    events = [event(gone), event(other)]

    async def branch(connection: Connection, events: Sequence[Event]) -> None:
        for one in events:
            await connection.execute("INSERT INTO branches VALUES ($1, 1)", one.tenantid)

    await service.bury(gone)
    await put(channel, QUEUES[0].main, *map(encode, events))
    consumer = Consumer("common", container.broker, service.database, [Subscription("common.#", branch)], totals)
    running = asyncio.ensure_future(consumer.run())
    await totals.reach(2)
    consumer.stop()
    await running
    assert totals.results == {"handled": 1, "duplicate": 1}
    assert [(await service.left(tenant))[1] for tenant in (gone, other)] == [0, 1]


async def test_the_event_of_a_tenants_end_is_the_platforms_and_names_the_tenant(
    service: Service, event: MakeEvent
) -> None:
    tenant = new_tenant()
    await service.fill(tenant)
    deleted = event("quartet", event_types.TENANT_DELETED, data={"id": tenant, "somethingLater": 1})
    async with service.database.transaction() as connection:
        await tenant_deletion.handle_events(connection, [deleted, deleted])
    await service.eraser().run()
    assert await service.left(tenant) == [0, 0, 0]
    assert await service.due("quartet") is None


async def test_what_is_heard_late_does_not_give_a_deleted_tenant_its_tokens_back(service: Service) -> None:
    tenant = new_tenant()
    await service.bury(tenant)
    async with service.database.transaction() as connection:
        await keep(connection, [revocation(tenant, "tenant", tenant, utc_now() + timedelta(days=1))])
    await service.eraser().run()
    known = RevocationList(lambda: service.database)
    await known.refresh()
    who = Principal(tenant, "bjensen", "cli", frozenset(), 0, "1", (utc_now() + timedelta(days=2)).timestamp())
    assert known.reason(who) == "tenant_suspended"
