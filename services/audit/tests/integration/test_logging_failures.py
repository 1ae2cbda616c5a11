"""Failures of logging: each is broken for real, noticed by a running worker, and published when it begins and ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from quartet_audit.app import SERVICE
from quartet_audit.continuity import continuity_usecases
from quartet_audit.entries.entry_store import ENTRY_COLUMNS
from quartet_audit.trees.tree_store import LEAF_COLUMNS
from quartet_cli import ports
from quartet_common.core.caller import Caller
from quartet_common.core.clock import utc_now
from quartet_common.data.connections import Connection, connect_once
from quartet_common.messaging import journal, logging_failures, receipts
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.topology import QueueNames
from quartet_common.runtime import process
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Worker
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_serving.tasks import end_tasks
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

LIMIT = 1.0


TABLES = ("entries", "personal_parts", "erased_parts", "erasures", "leaves", "tiles", "logs", "checkpoints")


@pytest.fixture
async def impatient(audit: "Audit", monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are noticed after a second, not after 20 s; the logs, which other tests have damaged, are empty."""
    async with audit.owner.database.transaction() as connection:
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}, cosigned_checkpoints")
        await connection.execute("UPDATE deleted_tenants SET due_at = NULL")
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    for module, names in (
        (logging_failures, ("MAX_LAG",)),
        (receipts, ("MAX_LAG", "MAX_SILENCE", "ANSWER_TIMEOUT")),
        (continuity_usecases, ("MAX_STANDSTILL", "MAX_UNSIGNED")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, LIMIT)
    monkeypatch.setattr(logging_failures, "INTERVAL", 0.2)
    monkeypatch.setattr(process, "QUEUES_INTERVAL", 0.3)
    monkeypatch.setattr(process, "OUTBOX_INTERVAL", 0.3)


class RunningWorker:
    """A worker of audit in this process."""

    def __init__(self, audit: "Audit") -> None:
        [port] = ports.choose(1, set())
        self.url = f"http://127.0.0.1:{port}/health/ready"
        self.container: AppContainer[Any] = AppContainer(
            audit.container.config.model_copy(update={"private_port": port, "private_token": SecretStr("")})
        )

    async def failures(self) -> dict[str, str]:
        """What its readiness says of logging."""
        async with httpx.AsyncClient(trust_env=False) as client:
            found = (await client.get(self.url)).json()
        return dict(found.get("logging_failures", {}))

    async def fails(self, kind: str, words: str) -> None:
        """Wait until the kind fails with `words`."""

        async def is_failing() -> bool:
            return words in (await self.failures())[kind] if kind in await self.failures() else False

        await eventually(is_failing, f"{kind} to fail")

    async def works(self) -> None:
        """Wait until nothing fails."""

        async def is_working() -> bool:
            return await self.failures() == {}

        await eventually(is_working, "logging to work")


@asynccontextmanager
async def running(audit: "Audit") -> AsyncIterator[RunningWorker]:
    """A worker that runs inside the block; nothing fails at its begin."""
    async with audit.container.database.transaction() as connection:
        await connection.execute("DELETE FROM logging_failures; DELETE FROM outbox; DELETE FROM published_events")
    worker = RunningWorker(audit)
    await worker.container.open()
    task = asyncio.ensure_future(Worker(SERVICE, worker.container).run())
    try:
        await eventually(lambda: answers(worker, task), "the worker to answer")
        yield worker
    finally:
        worker.container.stopping.set()
        await asyncio.wait([task], timeout=20)
        await end_tasks([task])
        await worker.container.close()


async def answers(worker: RunningWorker, task: "asyncio.Future[None]") -> bool:
    """Whether its private port answers."""
    if task.done():
        task.result()
    try:
        await worker.works()
    except httpx.HTTPError:
        return False
    return True


async def recorded(audit: "Audit", kind: str) -> list[dict[str, Any]]:
    """The entries of the failures of a kind, the oldest first."""
    entries = await audit.find("quartet", resource=kind, order="asc", action="audit.logging.*")
    return [{"action": entry["action"], **entry["data"]} for entry in entries]


async def are_recorded(audit: "Audit", kind: str, before: int, words: str) -> None:
    """Wait until the log has the begin and the end of one more failure, and nothing else."""

    async def both() -> list[dict[str, Any]]:
        found = (await recorded(audit, kind))[before:]
        assert len(found) >= 2, found
        return found

    begun, ended = await eventually(both, f"begin and end of {kind}")
    assert (begun["action"], begun["kind"]) == ("audit.logging.failed", kind)
    assert words in begun["problem"]
    assert (ended["action"], ended["kind"]) == ("audit.logging.recovered", kind)


async def without_triggers(connection: Connection, statement: str, *values: object) -> None:
    """Run a statement on `entries` or `leaves` that their triggers refuse."""
    async with connection.transaction():
        for table in ("entries", "leaves"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(statement, *values)
        for table in ("entries", "leaves"):
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


COLUMNS = {"entries": ENTRY_COLUMNS, "leaves": LEAF_COLUMNS}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("table", COLUMNS)
async def test_an_entry_or_a_leaf_that_is_removed_is_a_gap_until_it_is_back(
    audit: "Audit", make_event: "MakeEvent", table: str
) -> None:
    tenant, before = new_tenant(), len(await recorded(audit, "sequence"))
    await audit.record([make_event(tenant=tenant) for _ in range(5)])
    connection, columns = await connect_once(audit.owner.config), COLUMNS[table]
    try:
        async with running(audit) as worker:
            reading = f"SELECT {', '.join(columns)} FROM {table} WHERE tenant_id = $1 AND sequence = 2"
            [row] = await connection.fetch(reading, tenant)
            await without_triggers(connection, f"DELETE FROM {table} WHERE tenant_id = $1 AND sequence = 2", tenant)
            words = f"the log of the tenant {tenant} lacks 1 {table} from sequence 2 on"
            await worker.fails("sequence", words)
            await connection.copy_records_to_table(table, records=[tuple(row)], columns=columns)
            await worker.works()
            await are_recorded(audit, "sequence", before, words)
    finally:
        await connection.close()


async def publish(audit: "Audit", tenant: str, number: int = 1) -> None:
    """Put events into the outbox."""
    async with unit_of_work(audit.container, Caller(tenant, "tester")) as work:
        work.publish([DomainEvent("audit.data.exported.v1", f"exports/{n}", 1, {"format": "x"}) for n in range(number)])


@asynccontextmanager
async def locked(audit: "Audit", statement: str) -> AsyncIterator[None]:
    """Another session holds a lock inside the block."""
    connection = await connect_once(audit.owner.config)
    try:
        await connection.execute(f"BEGIN; {statement}")
        yield
    finally:
        await connection.close()


@pytest.mark.usefixtures("impatient")
async def test_entries_that_are_not_recorded_are_noticed_by_their_source_and_by_the_queue(audit: "Audit") -> None:
    tenant = new_tenant()
    before = {kind: len(await recorded(audit, kind)) for kind in ("receipts", "queue")}
    async with running(audit) as worker:
        async with locked(audit, "LOCK TABLE personal_parts IN SHARE MODE"):
            await publish_one_by_one(audit, tenant, 30)
            await worker.fails("receipts", "have no entry")
            await worker.fails("queue", "no log has grown for")
        await worker.works()
        await are_recorded(audit, "receipts", before["receipts"], "events that RabbitMQ confirmed more than")
        await are_recorded(audit, "queue", before["queue"], "messages wait")
    assert len(await audit.ids(tenant)) == 30


@pytest.mark.usefixtures("impatient")
async def test_events_that_rabbitmq_has_lost_are_missing_until_they_are_published_again(audit: "Audit") -> None:
    tenant, before, begin = new_tenant(), len(await recorded(audit, "receipts")), utc_now()
    async with running(audit) as worker:
        async with locked(audit, "LOCK TABLE personal_parts IN SHARE MODE"):
            await publish_one_by_one(audit, tenant, 30)
            async with audit.container.broker.connection("test") as connection:
                queue = await (await connection.channel()).get_queue(QueueNames("audit").main)
                assert (await queue.purge()).message_count
        other = new_tenant()
        await publish(audit, other)
        await eventually(lambda: has_entries(audit, other, 1), "those that are not lost to be recorded")
        assert len(await audit.ids(tenant)) < 30
        await worker.fails("receipts", "have no entry")
        await journal.replay(audit.container.database, begin, None)
        await worker.works()
        await are_recorded(audit, "receipts", before, "have no entry; one is")
    assert len(await audit.ids(tenant)) == 30


async def publish_one_by_one(audit: "Audit", tenant: str, number: int) -> None:
    """Have the relay publish events as messages of their own: more than a consumer takes at a time."""
    for count in range(1, number + 1):
        await publish(audit, tenant)
        await eventually(lambda: are_published(audit, tenant, count), "the event to be published")  # noqa: B023  # awaited


async def are_published(audit: "Audit", tenant: str, number: int) -> bool:
    """Whether RabbitMQ has confirmed so many events."""
    async with audit.container.database.connection() as connection:
        query = "SELECT count(*) FROM published_events WHERE tenant_id = $1"
        return bool(await connection.fetchval(query, tenant) == number)


async def has_entries(audit: "Audit", tenant: str, number: int) -> bool:
    """Whether the log has so many entries."""
    return len(await audit.ids(tenant)) == number


@pytest.mark.usefixtures("impatient")
async def test_an_outbox_that_does_not_drain_is_noticed(audit: "Audit") -> None:
    before = len(await recorded(audit, "outbox"))
    async with running(audit) as worker:
        async with locked(audit, "LOCK TABLE published_events IN SHARE MODE"):
            await publish(audit, new_tenant())
            await worker.fails("outbox", "events wait in the outbox, the oldest for")
        await worker.works()
        await are_recorded(audit, "outbox", before, "wait in the outbox")


@pytest.mark.usefixtures("impatient")
async def test_entries_without_a_checkpoint_are_noticed(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, before = new_tenant(), len(await recorded(audit, "checkpoints"))
    async with running(audit) as worker:
        async with locked(audit, "SELECT pg_advisory_xact_lock(hashtextextended('quartet.audit.checkpoints', 0))"):
            await audit.record([make_event(tenant=tenant)])
            await worker.fails("checkpoints", "has no checkpoint after")
        await worker.works()
        await are_recorded(audit, "checkpoints", before, tenant)


@pytest.mark.usefixtures("impatient")
async def test_a_log_that_is_smaller_than_its_checkpoint_is_noticed(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, before = new_tenant(), len(await recorded(audit, "checkpoints"))
    await audit.record([make_event(tenant=tenant)])
    async with running(audit) as worker:
        async with audit.owner.database.connection() as connection:
            await eventually(lambda: is_signed(connection, tenant), "the log to be signed")
            change = "UPDATE checkpoints SET size = $2 WHERE tenant_id = $1"
            await connection.execute("ALTER TABLE checkpoints DISABLE TRIGGER USER")
            await connection.execute(change, tenant, 3)
            await worker.fails("checkpoints", f"the log of the tenant {tenant} has 1 leaves, and its last checkpoint 3")
            await connection.execute(change, tenant, 1)
            await connection.execute("ALTER TABLE checkpoints ENABLE TRIGGER USER")
        await worker.works()
        await are_recorded(audit, "checkpoints", before, tenant)


async def is_signed(connection: Connection, tenant: str) -> bool:
    """Whether the log has a checkpoint."""
    return bool(await connection.fetchval("SELECT true FROM checkpoints WHERE tenant_id = $1", tenant))
