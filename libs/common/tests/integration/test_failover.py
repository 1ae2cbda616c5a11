"""Failover: the primary changes, with connections open to what it was, or among the hosts of the database's URL."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from quartet_cli import ports
from quartet_cli.accounts import is_root
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection
from quartet_common.messaging import outbox
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import decode
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, prepare
from quartet_testing.clusters import Cluster, Forwarder, cluster_folder, give
from quartet_testing.conditions import eventually
from quartet_testing.messaging import Container, Thing, relay_of, running
from quartet_testing.services import new_tenant
from quartet_testing.sockets import silent_server
from quartet_testing.stopwatch import stopwatch

PORT = "WITH gone AS (DELETE FROM inbox WHERE false) SELECT inet_server_port()"
"""The server's port, by a statement that only a primary carries out."""
MAKE_ROLE = "CREATE ROLE quartet_common LOGIN PASSWORD 'common'"
MAKE_SCHEMA = "CREATE SCHEMA common AUTHORIZATION quartet_common"
IS_SYNCHRONOUS = "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication"
ATTRIBUTES = "target_session_attrs=read-write"


@pytest.fixture
def folder() -> Iterator[Path]:
    with cluster_folder() as made:
        yield made


async def make_primary(cluster: Cluster, *options: str) -> None:
    """A cluster that runs, with the role and the schema of the service `common`."""
    cluster.make(*options)
    await cluster.start()
    await cluster.ask("CREATE DATABASE quartet")
    await cluster.ask(MAKE_ROLE)
    await cluster.ask(MAKE_SCHEMA, "quartet")


@pytest.fixture
async def pair(folder: Path) -> AsyncIterator[tuple[Cluster, Cluster]]:
    """A primary and its standby."""
    primary, standby = (Cluster(folder / f"data{port}", port) for port in ports.choose(2, set()))
    try:
        await make_primary(primary)
        standby.make_standby_of(primary)
        await standby.start()
        yield primary, standby
    finally:
        standby.stop()
        primary.stop()


def at(config: ServiceConfig, hosts: str, query: str = "") -> ServiceConfig:
    """`config` with the database at `hosts`."""
    return config.model_copy(update={"database_url": f"postgresql://quartet_common@{hosts}/quartet{query}"})


@asynccontextmanager
async def opened(config: ServiceConfig) -> AsyncIterator[Container]:
    async def ignore(*_: Any) -> None:
        return None

    subscriptions = [Subscription("common.#", ignore)]
    await prepare(
        Service(
            package="quartet_common",
            config_class=ServiceConfig,
            create_app=lambda _: None,  # type: ignore[arg-type, return-value]  # no app is made
            subscriptions=lambda _: subscriptions,
        ),
        config,
    )
    container: Container = AppContainer(config)
    await container.open()
    try:
        yield container
    finally:
        await container.close()


async def port_of(container: Container) -> int | None:
    """The port of the server that writes, None while there is none."""
    try:
        async with container.database.transaction() as connection:
            return int(await connection.fetchval(PORT))
    except UnavailableError:
        return None


async def leads_to(container: Container, cluster: Cluster) -> None:
    """Wait until writes go to `cluster`, on all connections of the pool."""

    async def probe() -> bool:
        found = await asyncio.gather(*(port_of(container) for _ in range(container.database.pool.get_max_size())))
        return set(found) == {cluster.port}

    await eventually(probe, f"writes to go to port {cluster.port}", 10)
    await container.database.watch.check_writable()


async def becomes(container: Container, *, writable: bool) -> None:
    """Wait until the watch says so, without a request."""

    async def probe() -> bool:
        try:
            await container.database.watch.check_writable()
        except UnavailableError:
            return not writable
        return writable

    await eventually(probe, f"PostgreSQL to be {'writable' if writable else 'away'}")


async def add(container: Container, things: list[DomainEvent]) -> None:
    async with container.database.transaction() as connection:
        await outbox.add(connection, Caller(new_tenant(), "me"), things, now=container.clock(), service="common")


@asynccontextmanager
async def worker(container: Container, handler: Any, totals: Any) -> AsyncIterator[None]:
    """A relay and a consumer that run."""
    consumer = Consumer("common", container.broker, container.database, [Subscription("common.#", handler)], totals)
    async with running(relay_of(container), consumer):
        yield


@pytest.mark.slow
async def test_when_a_standby_is_promoted_everything_leaves_the_old_primary_though_its_connections_stay_open(
    config: ServiceConfig, channel: object, pair: tuple[Cluster, Cluster], thing: Thing, totals: Any
) -> None:
    async def ignore(*_: Any) -> None:
        return None

    primary, standby = pair
    async with Forwarder(primary.port).running() as forwarder, opened(at(config, f"127.0.0.1:{forwarder.port}")) as one:
        await leads_to(one, primary)
        async with worker(one, ignore, totals):
            await add(one, [thing(f"before/{number}") for number in range(20)])
            await totals.reach(20)
            await primary.demote()

            async def nobody_writes() -> bool:
                return await port_of(one) is None

            await eventually(nobody_writes, "writes to be refused")
            await standby.follows(primary)
            forwarder.target = standby.port
            standby.promote()
            await leads_to(one, standby)
            await add(one, [thing(f"after/{number}") for number in range(20)])
            await totals.reach(40)
    assert totals.results == {"handled": 40}


@pytest.mark.slow
async def test_with_a_synchronous_standby_no_write_is_acknowledged_that_a_failover_loses(
    config: ServiceConfig, pair: tuple[Cluster, Cluster], thing: Thing
) -> None:
    """Without one, the failover loses it: `synchronous_standby_names` decides."""
    primary, standby = pair
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    patient = at(config, hosts, f"?{ATTRIBUTES}").model_copy(update={"database_timeout": 1.0})
    async with opened(patient) as container:
        await primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await primary.ask("SELECT pg_reload_conf()")
        await eventually(lambda: primary.ask(IS_SYNCHRONOUS), "the standby to be synchronous")
        await add(container, [thing("acknowledged/synchronous")])
        standby.stop()
        with pytest.raises(UnavailableError):
            await add(container, [thing("refused")])
        await standby.start()
        await primary.ask("ALTER SYSTEM RESET synchronous_standby_names")
        await primary.ask("SELECT pg_reload_conf()")
        await standby.follows(primary)
        standby.stop()
        await add(container, [thing("acknowledged/asynchronous")])
        primary.kill()
        await standby.start()
        standby.promote()
        await leads_to(container, standby)
        async with container.database.connection() as connection:
            found = {decode(row["event"]).subject for row in await connection.fetch("SELECT event FROM outbox")}
    assert "things/acknowledged/synchronous" in found
    assert "things/acknowledged/asynchronous" not in found


@pytest.mark.slow
async def test_of_several_hosts_in_the_url_the_one_that_can_be_written_to_is_used(
    config: ServiceConfig, pair: tuple[Cluster, Cluster]
) -> None:
    primary, standby = pair
    hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
    async with opened(at(config, hosts, f"?{ATTRIBUTES}")) as container:
        await leads_to(container, primary)
        await standby.follows(primary)
        primary.stop()

        await becomes(container, writable=False)
        assert await standby.ask("SELECT pg_promote()")
        await leads_to(container, standby)


@pytest.mark.slow
async def test_when_the_primary_hangs_and_a_standby_is_promoted_everything_leaves_it_within_seconds(
    config: ServiceConfig, channel: object, pair: tuple[Cluster, Cluster], thing: Thing, totals: Any
) -> None:
    async def ignore(*_: Any) -> None:
        return None

    primary, standby = pair
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    async with opened(at(config, hosts, f"?{ATTRIBUTES}")) as container:
        await leads_to(container, primary)  # the pool has connections that stay open
        async with worker(container, ignore, totals):
            await add(container, [thing(f"before/{number}") for number in range(20)])
            await totals.reach(20)
            await standby.follows(primary)
            with primary.paused():
                await becomes(container, writable=False)
                standby.promote()
                await becomes(container, writable=True)
                async with stopwatch() as watch:
                    await leads_to(container, standby)
                await add(container, [thing(f"after/{number}") for number in range(20)])
                await totals.reach(40)
                primary.kill()
    assert totals.results == {"handled": 40}
    assert watch.seconds < config.database_timeout, "no request has met a connection to the dead primary"


async def test_a_relay_that_stands_by_notices_within_seconds_that_postgresql_is_dead(
    config: ServiceConfig, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_common.messaging.relay.LOCK_TIMEOUT", 1)
    there = int(config.database_url.rpartition("@")[2].partition("/")[0].rpartition(":")[2])
    async with Forwarder(there).running() as forwarder:
        away = AppContainer(at(config, f"127.0.0.1:{forwarder.port}").model_copy(update={"database_timeout": 0.5}))
        active, standing_by = relay_of(container), relay_of(away)
        async with running(active):
            await connected(active)
            async with running(standing_by):
                await connected(standing_by)
                await eventually(lambda: waits_again(container), "PostgreSQL to say that the lock is taken")
                assert standing_by.failures == 0
                forwarder.is_silent = True

                async def noticed() -> bool:
                    return standing_by.failures > 0

                await eventually(noticed, "the relay to leave the dead PostgreSQL", 15)
                forwarder.is_silent = False


async def connected(relay: Relay) -> None:
    async def probe() -> bool:
        return relay.connected

    await eventually(probe, "the relay to be connected")


async def waits_again(container: Container) -> bool:
    """Whether a session waits for the relay's lock that has waited for it before, for the time of a lock at most."""
    async with container.database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' "
                "AND query_start > backend_start + interval '1 second'"
            )
        )


@pytest.mark.parametrize("silent_first", [True, False])
async def test_a_host_that_does_not_answer_does_not_use_up_the_time_for_connecting(
    config: ServiceConfig, silent_first: bool
) -> None:
    there = config.database_url.rpartition("@")[2].partition("/")[0]
    async with silent_server() as port:
        hosts = [f"127.0.0.1:{port}", there] if silent_first else [there, f"127.0.0.1:{port}"]
        async with opened(at(config, ",".join(hosts), f"?{ATTRIBUTES}")) as container, stopwatch() as watch:
            await container.database.pool.expire_connections()
            assert await port_of(container) == int(there.rpartition(":")[2])
        assert watch.seconds < config.database_acquire_timeout


async def test_hosts_of_the_url_that_are_away_or_read_only_are_passed_over(config: ServiceConfig) -> None:
    [closed] = ports.choose(1, set())
    there = config.database_url.rpartition("@")[2].partition("/")[0]
    hosts = f"127.0.0.1:{closed},{there}"
    async with opened(at(config, hosts, f"?{ATTRIBUTES}")) as container:
        assert await port_of(container) == int(there.rpartition(":")[2])
    async with opened(config) as container:
        container.database.pool.set_connect_args(
            at(config, there, "?target_session_attrs=standby").database_url, password="common", timeout=0.8
        )
        await container.database.pool.expire_connections()
        with pytest.raises(UnavailableError, match="has no server of the kind that target_session_attrs asks for"):
            async with container.database.connection():
                pass


@contextmanager
def small_volume(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system in memory at a folder of that size; skips where none can be mounted."""
    volume = folder / "volume"
    volume.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(volume)]
    if not is_root() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root with CAP_SYS_ADMIN")
    try:
        give(volume)
        yield volume
    finally:
        subprocess.run(["/bin/umount", "-l", str(volume)], check=True)


def fill(volume: Path) -> Path:
    """Use all space of `volume` with a file, and give that."""
    ballast = volume / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


@pytest.mark.slow
async def test_a_full_disk_of_postgresql_is_named_and_events_wait_until_there_is_space(
    config: ServiceConfig, channel: object, folder: Path, thing: Thing, totals: Any
) -> None:
    async def grow(connection: Connection, events: Any) -> None:
        text = "SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 10000)"
        await connection.execute(f"INSERT INTO large {text}")

    async def grow_much(connection: Connection) -> None:
        for _ in range(20):
            await grow(connection, [])

    with small_volume(folder, 96) as volume:
        cluster = Cluster(volume / "data", *ports.choose(1, set()))
        try:
            await make_primary(cluster, f"--waldir={folder / 'wal'}")
            async with opened(at(config, f"127.0.0.1:{cluster.port}")) as container:
                async with container.database.transaction() as connection:
                    await connection.execute("CREATE TABLE large (text text)")
                await add(container, [thing(str(number)) for number in range(20)])
                ballast = fill(volume)
                with pytest.raises(UnavailableError, match="has no disk space left"):
                    await container.database.run(grow_much)
                async with worker(container, grow, totals):

                    async def is_named() -> bool:
                        try:
                            await container.database.watch.check_writable()
                        except UnavailableError as error:
                            return error.problem == "has no disk space left"
                        return False

                    await eventually(is_named, "the full disk to be named")
                    assert totals.results == {}
                    ballast.unlink()
                    await totals.reach(20)
                assert totals.results == {"handled": 20}
        finally:
            cluster.stop()
