"""Failover: PostgreSQL, Redis or a node of RabbitMQ ends for good, and another one takes its place: writes are back
within 30 s, nothing is lost, nothing is doubled.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from quartet_cli import environment, ports
from quartet_cli.reset import remove
from quartet_cli.servers import postgres
from quartet_cli.stack import Stack
from quartet_testing.client import USERS, Api
from quartet_testing.clusters import cluster_folder, skip_fsync
from quartet_testing.conditions import eventually
from quartet_testing.faults import kill, measured, rabbitmqctl, stopped
from quartet_testing.ledger import Ledger, Outcome
from quartet_testing.limits import WIDE
from quartet_testing.replicas import REPLICATION, RabbitNode, StandbyOfStack
from quartet_testing.sentinels import MASTER, PASSWORD, SENTINEL_PASSWORD, SentinelServers
from quartet_testing.services import new_tenant
from quartet_testing.stopwatch import stopwatch

pytestmark = [pytest.mark.local_stack, pytest.mark.slow, pytest.mark.timeout(600)]

MOST = 30.0
"""Seconds within which writes must be back."""
Note = Callable[[str, object], None]


@dataclass
class Replicated:
    """A stack whose servers have replicas."""

    stack: Stack
    postgres: StandbyOfStack
    redis: SentinelServers


@pytest.fixture(scope="module")
async def replicated() -> AsyncIterator[Replicated]:
    """A stack of its own with a standby, three nodes of RabbitMQ, and two Redis with a sentinel."""
    [standby] = ports.choose(1, set())
    chosen = [ports.choose(2, set()) for _ in range(2)]
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        data = parts.enter_context(cluster_folder())
        redis = await parts.enter_async_context(SentinelServers(_made(folder / "redis")).running())
        settings = {
            "QUARTET_REDIS_URL": f"redis+sentinel://{ports.HOST}:{redis.sentinel}/{MASTER}/0",
            "QUARTET_REDIS_PASSWORD": PASSWORD,
            "QUARTET_REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
            **WIDE,
        }
        stack = Stack(_made(folder / "stack"), None, extra_environment=settings, temporary=True)
        parts.callback(remove, stack.home)
        parts.callback(stack.down)
        patches = parts.enter_context(pytest.MonkeyPatch.context())
        _several_hosts(patches, standby, [port for port, _ in chosen])
        await asyncio.to_thread(stack.start_servers)
        skip_fsync(stack)
        follower = StandbyOfStack(stack, data / "standby", standby)
        await parts.enter_async_context(follower.running())
        first, last = (RabbitNode(stack, _made(folder / f"rabbitmq-{own[0]}"), own) for own in chosen)
        await parts.enter_async_context(first.running())
        await asyncio.to_thread(stack.up)
        await parts.enter_async_context(last.running())
        # the queues are declared already: without this, none has a majority when one of the other nodes ends
        await rabbitmqctl(stack, "grow", last.name, "all", command="rabbitmq-queues")
        assert last.name in await rabbitmqctl(stack, "cluster_status")
        yield Replicated(stack, follower, redis)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _several_hosts(patches: pytest.MonkeyPatch, standby: int, nodes: list[int]) -> None:
    """Have the launcher's PostgreSQL take a standby, and the services know the replicas."""
    original = environment.service

    def service(home: object, chosen: dict[str, int], name: str, process: str) -> dict[str, str]:
        variables = original(home, chosen, name, process)  # type: ignore[arg-type]  # passed on as it is
        primary, node = f"{ports.HOST}:{chosen['postgres']}", f"{ports.HOST}:{chosen['rabbitmq']}"
        databases = f"{primary},{ports.HOST}:{standby}/quartet?target_session_attrs=read-write"
        brokers = ",".join([node, *(f"{ports.HOST}:{port}" for port in nodes)])
        return variables | {
            "QUARTET_DATABASE_URL": variables["QUARTET_DATABASE_URL"].replace(f"{primary}/quartet", databases),
            "QUARTET_BROKER_URL": variables["QUARTET_BROKER_URL"].replace(node, brokers),
        }

    patches.setattr(environment, "service", service)
    patches.setattr(postgres, "HBA", postgres.HBA + REPLICATION)


@pytest.fixture
async def api(replicated: Replicated) -> AsyncIterator[Api]:
    token = await asyncio.to_thread(replicated.stack.token, new_tenant())
    async with Api(replicated.stack.url, token) as client:
        yield client


@pytest.fixture
async def other(replicated: Replicated) -> AsyncIterator[Api]:
    """A client of a second tenant."""
    token = await asyncio.to_thread(replicated.stack.token, new_tenant())
    async with Api(replicated.stack.url, token) as client:
        yield client


async def test_while_redis_fails_over_no_write_fails_and_limits_are_shared_again(
    api: Api, replicated: Replicated, record_testsuite_property: Note
) -> None:
    ledger, tenant = Ledger(api), new_tenant()
    token = await asyncio.to_thread(replicated.stack.token, tenant)

    async def shared() -> bool:
        assert (await newcomer.get(USERS)).status_code == 200
        return await replicated.redis.has_keys(replicated.redis.replica, f"limits/*{tenant}*")

    async with Api(replicated.stack.url, token) as newcomer, ledger.writing():
        await ledger.reached(50)
        async with stopwatch() as watch:
            replicated.redis.kill_master()
            await eventually(shared, "limits in the Redis that was promoted")
        await ledger.reached(50)
    record_testsuite_property("seconds until limits are shared again", watch.seconds)
    assert watch.seconds < MOST
    assert await measured(replicated.stack, "users-api", "quartet_limits_unshared_total") > 0
    assert ledger.outcomes[Outcome.UNKNOWN] == 0
    await ledger.agrees()


async def test_when_a_node_of_rabbitmq_is_killed_events_go_through_another_one(
    api: Api, other: Api, replicated: Replicated, record_testsuite_property: Note
) -> None:
    ledger = Ledger(api)
    async with ledger.writing():
        await ledger.reached(50)
        await kill(replicated.stack, "rabbitmq")
        async with stopped(replicated.stack, "rabbitmq"):  # else the supervisor starts it again
            async with stopwatch() as watch:
                user = await other.create_user()
                await other.entries_of(user["id"], "users.user.created")
            await ledger.reached(50)
    record_testsuite_property("seconds until an event arrives", watch.seconds)
    assert watch.seconds < MOST
    assert ledger.outcomes[Outcome.UNKNOWN] == 0
    await ledger.agrees()


async def test_when_the_primary_is_killed_and_the_standby_promoted_nothing_is_lost_or_doubled(
    api: Api, replicated: Replicated, record_testsuite_property: Note
) -> None:
    ledger = Ledger(api)
    async with ledger.writing():
        await ledger.reached(100)
        assert await replicated.postgres.follows()
        async with stopwatch() as killed:
            await replicated.postgres.fail_over()
            async with stopwatch() as promoted:
                await ledger.reached(1)
        await ledger.reached(100)
    record_testsuite_property("seconds without writes after the promotion", promoted.seconds)
    record_testsuite_property("seconds without writes after the primary was killed", killed.seconds)
    assert promoted.seconds < MOST
    assert ledger.outcomes[Outcome.UNKNOWN] > 0
    await ledger.agrees()
