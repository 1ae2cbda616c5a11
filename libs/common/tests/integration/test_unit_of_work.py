"""Units of work: what is published and revoked is known after the commit, and only then."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import pytest

from quartet_common.auth.principal import Principal
from quartet_common.auth.revocations import revocation
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import new_id_text
from quartet_common.data.connections import Connection
from quartet_common.data.outbox_notifier import outbox_channel
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import (
    PUBLISHED,
    UnitOfWork,
    one_statement,
    run_unit_of_work,
    unit_of_work,
    unit_of_work_in,
)
from quartet_testing.conditions import eventually

Container = AppContainer[ServiceConfig]


def thing(name: str) -> DomainEvent:
    return DomainEvent("common.thing.created.v1", f"things/{name}", 1, {"id": name})


@pytest.fixture
async def caller(container: Container) -> Caller:
    await container.revocations.refresh()
    return Caller(f"t-{new_id_text()[-12:]}", "tester")


async def rows(container: Container, tenant: str) -> list[tuple[str, str]]:
    """Actor and subject of what waits in the outbox, in order."""
    async with container.database.connection() as connection:
        found = await connection.fetch(
            "SELECT actor_id, aggregate FROM outbox WHERE tenant_id = $1 ORDER BY id", tenant
        )
    return [(row["actor_id"], row["aggregate"].partition("/")[2]) for row in found]


def is_refused(container: Container, caller: Caller) -> bool:
    """Whether this process refuses a token of the caller that was made before."""
    who = Principal(caller.tenant, caller.actor, "client", frozenset(), 2**32, "id", 0.0, None)
    return container.revocations.reason(who) is not None


async def test_events_are_written_by_the_commit_in_the_order_of_their_publication(
    container: Container, caller: Caller
) -> None:
    other = Caller(caller.tenant, "another")
    async with unit_of_work(container, caller) as work:
        work.publish([thing("1"), thing("2")])
        work.on_behalf_of(other).publish([thing("3")])
        work.publish([thing("4")])
        assert await work.connection.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", work.tenant) == 0
    found = [("tester", "things/1"), ("tester", "things/2"), ("another", "things/3"), ("tester", "things/4")]
    assert await rows(container, caller.tenant) == found


async def test_a_block_that_raises_publishes_and_revokes_nothing(container: Container, caller: Caller) -> None:
    with suppress(ZeroDivisionError):
        async with unit_of_work(container, caller) as work:
            work.publish([thing("1")])
            work.revoke([revocation(caller.tenant, "subject", caller.actor, work.now())])
            raise ZeroDivisionError
    assert await rows(container, caller.tenant) == []
    assert not is_refused(container, caller)


async def test_tokens_are_refused_from_the_commit_on(container: Container, caller: Caller) -> None:
    async with unit_of_work(container, caller) as work:
        work.revoke([revocation(caller.tenant, "subject", caller.actor, work.now())])
        assert not is_refused(container, caller)
    assert is_refused(container, caller)
    async with container.database.connection() as connection:
        stored = await connection.fetchval("SELECT count(*) FROM revocations WHERE tenant_id = $1", caller.tenant)
    assert stored == 1


async def test_an_undone_attempt_publishes_nothing(container: Container, caller: Caller) -> None:
    attempts = 0

    async def command(work: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        work.publish([thing(str(attempts))])
        work.revoke([revocation(caller.tenant, "subject", f"user-{attempts}", work.now())])
        if attempts == 1:
            await work.connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    await run_unit_of_work(container, caller, command)
    assert await rows(container, caller.tenant) == [("tester", "things/2")]
    async with container.database.connection() as connection:
        found = await connection.fetch("SELECT id FROM revocations WHERE tenant_id = $1", caller.tenant)
    assert [row["id"] for row in found] == ["user-2"]


async def ids(container: Container, tenant: str) -> list[UUID]:
    """The ids of what waits in the outbox, in order."""
    async with container.database.connection() as connection:
        found = await connection.fetch("SELECT event_id FROM outbox WHERE tenant_id = $1 ORDER BY id", tenant)
    return [row["event_id"] for row in found]


async def test_a_request_knows_the_ids_of_what_it_has_committed(container: Container, caller: Caller) -> None:
    known: list[UUID] = []
    PUBLISHED.set(known)
    async with unit_of_work(container, caller) as work:
        work.publish([thing("1"), thing("2")])
    with suppress(ZeroDivisionError):
        async with unit_of_work(container, caller) as work:
            work.publish([thing("undone")])
            await work.store()
            raise ZeroDivisionError
    assert known == await ids(container, caller.tenant)
    attempts: list[int] = []

    async def command(work: UnitOfWork) -> None:
        work.publish([thing("3")])
        attempts.append(1)
        if len(attempts) == 1:
            await work.store()
            await work.connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    await run_unit_of_work(container, caller, command)
    async with one_statement(container, caller, thing("4")) as (connection, row):
        await connection.execute(outbox.INSERT, *([value] for value in row))
    with suppress(ZeroDivisionError):
        async with one_statement(container, caller, thing("undone")):
            raise ZeroDivisionError
    assert len(attempts) == 2
    assert len(known) == 4
    assert known == await ids(container, caller.tenant)


async def test_a_handler_publishes_in_the_transaction_of_its_consumer(container: Container, caller: Caller) -> None:
    async with container.database.transaction() as connection:
        async with unit_of_work_in(container, connection, caller) as work:
            work.publish([thing("1")])
        assert await rows(container, caller.tenant) == [], "not committed"
    assert await rows(container, caller.tenant) == [("tester", "things/1")]


async def test_the_relay_is_woken_by_each_way_to_publish(container: Container, caller: Caller) -> None:
    woken = asyncio.Event()

    def wake(*_: object) -> None:
        woken.set()

    async with container.database.connection() as listening:
        await listening.add_listener(outbox_channel("common"), wake)

        async def is_woken() -> bool:
            return woken.is_set()

        for write in (by_block, by_command, by_statement):
            woken.clear()
            await write(container, caller)
            await eventually(is_woken, f"the relay is woken: {write.__name__}")
        await listening.remove_listener(outbox_channel("common"), wake)


async def by_block(container: Container, caller: Caller) -> None:
    async with unit_of_work(container, caller) as work:
        work.publish([thing("1")])


async def by_command(container: Container, caller: Caller) -> None:
    async def command(work: UnitOfWork) -> None:
        work.publish([thing("2")])

    await run_unit_of_work(container, caller, command)


async def by_statement(container: Container, caller: Caller) -> None:
    async with one_statement(container, caller, thing("3")) as (connection, row):
        await connection.execute(outbox.INSERT, *([value] for value in row))


async def test_many_large_events_are_written_by_several_statements(
    container: Container, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    insert = outbox._insert

    async def noted(connection: object, new: Sequence[outbox.NewOutboxRow]) -> None:
        written.append(len(new))
        await insert(connection, new)  # type: ignore[arg-type]  # it is handed on

    monkeypatch.setattr(outbox, "_insert", noted)
    monkeypatch.setattr(outbox, "MAX_STATEMENT", 900)  # an event has about 400 bytes
    async with unit_of_work(container, caller) as work:
        work.publish([thing(str(number)) for number in range(7)])
    assert len(written) > 1
    assert [subject for _, subject in await rows(container, caller.tenant)] == [f"things/{n}" for n in range(7)]


async def test_events_of_alternating_actors_are_one_statement(
    container: Container, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = 0
    insert = outbox._insert

    async def count(connection: Connection, rows: Sequence[outbox.NewOutboxRow]) -> None:
        nonlocal statements
        statements += 1
        await insert(connection, rows)

    monkeypatch.setattr(outbox, "_insert", count)
    callers = [caller, Caller(caller.tenant, "another")] * 10
    async with unit_of_work(container, caller) as work:
        for number, one in enumerate(callers):
            work.on_behalf_of(one).publish([thing(str(number))])
    assert statements == 1
    assert await rows(container, caller.tenant) == [(one.actor, f"things/{n}") for n, one in enumerate(callers)]
