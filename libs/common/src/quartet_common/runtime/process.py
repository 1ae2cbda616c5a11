"""The processes of a service: `api`, `worker` and `migrate`, the same for all four."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import uvloop

from quartet_common.auth import revocation_store
from quartet_common.config import certificates
from quartet_common.config.settings import ServiceConfig, load_config
from quartet_common.core.errors import UnavailableError
from quartet_common.core.retry import connect_with_retry
from quartet_common.core.schedule import Schedule, run_schedule
from quartet_common.data import database_clock
from quartet_common.data.connections import Connection, connect_directly
from quartet_common.data.migrations import MigrationError, check_schema, find_migrations, is_newer, migrate
from quartet_common.messaging import (
    consumer_pauses,
    event_types,
    inbox,
    journal,
    logging_failures,
    redrive,
    redrive_store,
    topology,
)
from quartet_common.messaging.broker import BROKER_ERRORS
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.consumer_pauses import PauseWatch
from quartet_common.messaging.dead_letters import DeadLetters
from quartet_common.messaging.inbox import TakeNew
from quartet_common.messaging.logging_failures import Check, LoggingFailures, outbox_check
from quartet_common.messaging.receipts import Receipts
from quartet_common.messaging.redrive import RedriveSender
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.repair import QueueRepair
from quartet_common.messaging.stats import ConsumerStats, OutboxStats, QueueState, QueueStats, read_outbox, read_queues
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import QueueNames, declare_consumer, declare_exchange
from quartet_common.runtime import idempotency_store, origin_events, revocation_events
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.metrics_port import PrivateApp
from quartet_common.runtime.readiness import Readiness, database_check
from quartet_common.runtime.server_settings import private_config, public_config
from quartet_common.telemetry.event_loop import EventLoopDelay
from quartet_common.telemetry.logs import configure_logs
from quartet_common.telemetry.opentelemetry_setup import start_telemetry
from quartet_serving.server import serve, serve_app, stop_on_signals
from quartet_serving.tasks import end_tasks

if TYPE_CHECKING:
    from quart import Quart  # a worker does not load it

logger = logging.getLogger(__name__)

NICENESS = 10
"""The niceness of workers: when CPU is scarce, requests go first, and events catch up later."""

REVOCATIONS_AT_ONCE = 50
OUTBOX_INTERVAL = 5.0
"""Seconds between two measurements of the outbox."""
QUEUES_INTERVAL = 5.0
"""Seconds between two checks of the queues."""

C = TypeVar("C", bound=ServiceConfig)

COMMON = "common"
AUDIT = "audit"
"""The consumer that records all events."""
USAGE = "api | worker | migrate [--rolling]"
ROLLING = "--rolling"
"""Refuse migrations that processes of the release before, which still run, could not work with."""


def _no_schedules(_: AppContainer[Any]) -> Sequence[Schedule]:
    return []


def _no_checks(_: AppContainer[Any], __: QueueStats) -> Mapping[str, Check]:
    return {}


async def _nothing(_: Connection) -> None:
    return None


@dataclass(frozen=True)
class Service(Generic[C]):
    """The parts of a service that differ from those of others."""

    package: str
    config_class: type[C]
    create_app: "Callable[[AppContainer[C]], Quart]"
    subscriptions: Callable[[AppContainer[C]], Sequence[Subscription]]
    schedules: Callable[[AppContainer[C]], Sequence[Schedule]] = field(default=_no_schedules)
    logging_checks: Callable[[AppContainer[C], QueueStats], Mapping[str, Check]] = field(default=_no_checks)
    """Its own checks of logging, by kind."""
    take_new: TakeNew = field(default=inbox.add)
    """Which consumed events are new: the inbox, or what the service has in its place."""
    after_migrations: Callable[[Connection], Awaitable[None]] = field(default=_nothing)
    """What `migrate` does in Python after the SQL files, each time; it must be idempotent."""


def create_app_of(module: str) -> "Callable[[AppContainer[C]], Quart]":
    """The function `create_app` of `module`, imported at the first call, so that a worker loads no HTTP code."""

    def create_app(container: AppContainer[C]) -> "Quart":
        app: Quart = import_module(module).create_app(container)
        return app

    return create_app


def main(service: Service[C], arguments: Sequence[str]) -> None:
    """Run the process that `arguments` name; exits with 2 on wrong usage or configuration."""
    runs: dict[tuple[str, ...], Callable[[Service[C], C], Coroutine[Any, Any, None]]] = {
        ("api",): _run_api,
        ("worker",): _run_worker,
        ("migrate",): prepare,
        ("migrate", ROLLING): _prepare_rolling,
    }
    run = runs.get(tuple(arguments))
    if run is None:
        sys.stderr.write(f"usage: python -m {service.package} {USAGE}\n")
        raise SystemExit(2)
    process = arguments[0]
    config = load_config(service.config_class)
    configure_logs(config.service, process, config.log_level)
    stop_telemetry = start_telemetry(config, process)
    try:
        uvloop.run(run(service, config))
    finally:
        stop_telemetry()


def api_readiness(container: AppContainer[Any], listening: asyncio.Event | None = None) -> Readiness:
    """Whether an api should get requests: PostgreSQL answers, the warm-up is done, and its port is open."""

    async def is_warm() -> bool:
        return container.is_warm and (listening is None or listening.is_set())

    return Readiness({"postgresql": database_check(container), "warm-up": is_warm}, container.stopping)


async def _run_api(service: Service[C], config: C) -> None:
    container = AppContainer(config)
    stop_on_signals(container.stopping)
    await require_schema(service.package, config)
    listening = asyncio.Event()
    private = PrivateApp(api_readiness(container, listening), config.private_token.get_secret_value())
    private_stopping = asyncio.Event()
    private_server = asyncio.ensure_future(serve(private, private_config(config), private_stopping))
    private_server.add_done_callback(lambda _: container.stopping.set())  # if one part ends, all end
    try:
        app = service.create_app(container)
        public = public_config(config, container.certificates)
        await serve_app(app, public, container.stopping, config.trusted_proxies, listening)
    finally:
        private_stopping.set()
        await private_server


async def _run_worker(service: Service[C], config: C) -> None:
    os.nice(NICENESS)
    container = AppContainer(config)
    stop_on_signals(container.stopping)
    await require_schema(service.package, config)
    await container.open()
    try:
        with contextlib.suppress(UnavailableError):
            await container.set_clock()
        await Worker(service, container).run()
    finally:
        await container.close()


class Worker(Generic[C]):
    """Relay, consumer and schedules of one service."""

    def __init__(self, service: Service[C], container: AppContainer[C]) -> None:
        config = container.config
        self._container = container
        self._outbox_stats = OutboxStats()
        self._relay = Relay(config, container.broker, self._outbox_stats)
        self._consumers = _consumers(service, container)
        self._pauses = PauseWatch(lambda: container.database, self._consumers)
        self._queues = [name for one in map(QueueNames, config.consumers) for name in (one.main, one.dead)]
        self._queue_stats = QueueStats()
        self._repair = QueueRepair(container.broker, config.consumers, may_delete=config.repair_queues)
        self._dead_letters = DeadLetters([config.service, topology.revocation_queue(config.service)])
        self._redrives = RedriveSender(config.service, container.broker, lambda: container.database, container.clock)
        self._failures = LoggingFailures(
            config.service, lambda: container.database, container.clock, self._logging_checks(service)
        )
        self._schedules = [
            Schedule("event-loop-delay", 0.0, EventLoopDelay().measure),
            Schedule("outbox-stats", OUTBOX_INTERVAL, self._measure_outbox),
            Schedule("logging-failures", logging_failures.INTERVAL, self._failures.run),
            Schedule("inbox-prune", 3600.0, self._prune_inbox),
            Schedule("journal-prune", 60.0, self._prune_journal),
            Schedule("idempotency-keys-prune", 60.0, self._prune_idempotency_keys),
            Schedule("revocations-prune", 60.0, self._prune_revocations),
            Schedule("queues", QUEUES_INTERVAL, self._look_at_queues),
            Schedule("consumer-pauses", consumer_pauses.INTERVAL, self._pauses.run),
            Schedule("redrives", redrive.INTERVAL, self._redrives.run),
            Schedule("queue-repair", QUEUES_INTERVAL, self._repair_queues),
            Schedule("certificates", certificates.REFRESH_INTERVAL, container.certificates.refresh),
            Schedule("clock", database_clock.INTERVAL, container.set_clock),
            *service.schedules(container),
        ]
        checks = {one.name: one.check for one in self._schedules if one.check is not None}
        self._readiness = Readiness(
            {"postgresql": database_check(container), "rabbitmq": self._connected, **checks},
            container.stopping,
            lambda: {"logging_failures": self._failures.current, "paused": self._pauses.current},
        )

    def _logging_checks(self, service: Service[C]) -> Mapping[str, Check]:
        """The outbox, whether audit has recorded what was published, and the checks of the service."""
        container = self._container
        checks = {"outbox": outbox_check(self._outbox_stats)}
        if AUDIT in container.config.consumers:
            checks["receipts"] = Receipts(container.broker, lambda: container.database).check
        return {**checks, **service.logging_checks(container, self._queue_stats)}

    async def run(self) -> None:
        """Run until the container is stopping; then finish running work. If one part ends, all end."""
        stopping = self._container.stopping
        private_stopping = asyncio.Event()
        settings = self._container.config
        private = PrivateApp(self._readiness, settings.private_token.get_secret_value())
        config = private_config(settings)
        parts = [asyncio.ensure_future(serve(private, config, private_stopping))]
        parts.append(asyncio.ensure_future(self._relay.run()))
        parts += [asyncio.ensure_future(consumer.run()) for consumer in self._consumers]
        schedules = [asyncio.ensure_future(run_schedule(schedule)) for schedule in self._schedules]
        trigger = asyncio.ensure_future(stopping.wait())
        await asyncio.wait([trigger, *parts, *schedules], return_when=asyncio.FIRST_COMPLETED)
        stopping.set()  # also when a part has ended
        trigger.cancel()
        for consumer in self._consumers:
            consumer.stop()
        self._relay.stop()
        await end_tasks(schedules)
        await asyncio.wait(parts[1:], timeout=self._container.config.shutdown_timeout)
        private_stopping.set()
        await _finish(parts)

    async def _connected(self) -> bool:
        """Raises UnavailableError while RabbitMQ blocks the messages of this worker, or cannot serve a queue."""
        parts: list[Relay | Consumer] = [self._relay, *self._consumers]
        if any(part.is_blocked for part in parts):
            state = self._outbox_stats.state
            waiting = f"{state.depth} events wait, the oldest for {state.lag:.0f} s"
            raise UnavailableError("rabbitmq", problem=f"blocks publishing (memory or disk alarm): {waiting}")
        if self._repair.problem is not None:
            raise UnavailableError("rabbitmq", problem=self._repair.problem)
        return all(part.connected or (isinstance(part, Consumer) and part.is_paused) for part in parts)

    async def _repair_queues(self) -> None:
        parts: list[Relay | Consumer] = [self._relay, *self._consumers]
        await self._repair.run_once(sum(part.failures for part in parts))

    async def _look_at_queues(self) -> None:
        """Store dead letters, measure the queues of all consumers, and redrive what a recovered server caused."""
        _, status = await self._readiness.report()
        database, queues = self._container.database, dict[str, QueueState]()  # unknown
        try:
            async with self._container.broker.connection("queues") as connection:
                queues = await read_queues(connection, self._queues)
                if await self._dead_letters.take(connection, database, queues):
                    queues = await read_queues(connection, self._queues)
        except BROKER_ERRORS as error:
            raise UnavailableError("rabbitmq") from error
        finally:
            self._queue_stats.state = queues
        self._queue_stats.state = await self._dead_letters.count(database, queues)
        if status == 200:
            await self._redrives.select_failures()

    async def _measure_outbox(self) -> None:
        async with self._container.database.connection() as connection:
            self._outbox_stats.state = await read_outbox(connection)
        self._outbox_stats.is_blocked = self._relay.is_blocked

    async def _prune_inbox(self) -> None:
        async with self._container.database.transaction() as connection:
            await inbox.prune(connection)
            await redrive_store.prune(connection)

    async def _prune_journal(self) -> None:
        pruned = journal.SLICE
        while pruned == journal.SLICE:
            async with self._container.database.transaction() as connection:
                pruned = await journal.prune(connection, self._container.config.journal_hours)

    async def _prune_idempotency_keys(self) -> None:
        pruned = idempotency_store.BATCH
        while pruned == idempotency_store.BATCH:
            async with self._container.database.transaction() as connection:
                pruned = await idempotency_store.prune(connection)

    async def _prune_revocations(self) -> None:
        async with self._container.database.transaction() as connection:
            await revocation_store.prune(connection, self._container.clock())


def _consumers(service: Service[Any], container: AppContainer[Any]) -> list[Consumer]:
    """The service's own consumer, if it has subscriptions, and the one of revocations and origins."""
    name, subscriptions, stats = container.config.service, service.subscriptions(container), ConsumerStats()
    servers = container.broker, container.database
    own = [Consumer(name, *servers, subscriptions, stats, take_new=service.take_new)] if subscriptions else []
    taking = [
        Subscription(event_types.REVOKED, revocation_events.handle_events),
        Subscription(event_types.ORIGINS, origin_events.handle_events),
    ]
    # without the inbox: it may have the event already, from the other consumer of the service
    revocations = Consumer(
        topology.revocation_queue(name), *servers, taking, stats, batch=REVOCATIONS_AT_ONCE, take_new=inbox.take_all
    )
    return [*own, revocations]


async def _finish(parts: Sequence["asyncio.Future[None]"]) -> None:
    """Wait for `parts`; cancel late ones; raise the error of one of them."""
    _, late = await asyncio.wait(parts, timeout=2)
    await end_tasks(late)
    for part in parts:
        with contextlib.suppress(asyncio.CancelledError):
            await part


async def _prepare_rolling(service: Service[C], config: C) -> None:
    await prepare(service, config, rolling=True)


async def prepare(service: Service[C], config: C, *, rolling: bool = False) -> None:
    """Bring the schema and the broker's topology to the state that this release needs; idempotent, and safe to run
    concurrently. On a schema of a later release, which this one can use, nothing changes. `rolling`: the processes of
    the release before still run.

    Raises SystemExit with the reason if that fails.
    """
    connection = await connect_with_retry(lambda: connect_directly(config), "postgresql")
    components = {COMMON: find_migrations("quartet_common"), config.service: find_migrations(service.package)}
    try:
        for component, migrations in components.items():
            await migrate(connection, component, migrations, rolling=rolling)
        if not any([await is_newer(connection, *each) for each in components.items()]):
            await service.after_migrations(connection)
    except MigrationError as error:
        raise SystemExit(str(error)) from None
    finally:
        await connection.close()
    container = AppContainer(config)
    broker = await connect_with_retry(lambda: container.broker.connect("migrate"), "rabbitmq")
    async with broker:
        channel = await broker.channel()
        await declare_exchange(channel)
        await declare_consumer(
            channel, topology.revocation_queue(config.service), [event_types.REVOKED, event_types.ORIGINS]
        )
        patterns = [item.pattern for item in service.subscriptions(container)]
        if patterns:
            await declare_consumer(channel, config.service, patterns)
    logger.info("schema and topology are up to date")


async def require_schema(package: str, config: ServiceConfig) -> None:
    """End the process unless this release can run on the schema."""
    connection = await connect_with_retry(lambda: connect_directly(config), "postgresql")
    try:
        await check_schema(connection, COMMON, find_migrations("quartet_common"))
        await check_schema(connection, config.service, find_migrations(package))
    except MigrationError as error:
        raise SystemExit(str(error)) from None
    finally:
        await connection.close()
