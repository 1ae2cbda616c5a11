"""Counts are exact whatever is killed: the worker and the engine of metrics, the engine's data, and Redis."""

import asyncio
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

import pytest

from quartet_cli.stack import Stack
from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import TYPE_PREFIX, Event, encode
from quartet_testing.client import Api, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.faults import back, database, kill
from quartet_testing.services import new_tenant

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

ENGINE = "victoria-metrics"
DAYS = 28
"""Over which the events are spread; the windows of active users that count are in them."""
ACTIONS = ("users.login.succeeded", "users.user.created", "groups.group.created")
SECOND = timedelta(seconds=1)
"""The engine does not show the first sample of a series at its very time."""
INSERT = """
INSERT INTO outbox (tenant_id, actor_id, aggregate, type, event_id, event, urgent)
SELECT $1, 'tester', $1 || '/things/' || id, type, id, event, false
FROM unnest($2::uuid[], $3::text[], $4::bytea[]) AS given (id, type, event)"""
SOON = "UPDATE engine_rewrites SET due_at = least(due_at, now() + interval '5 seconds') WHERE tenant_id = $1"
WAITS = "SELECT count(*) FROM engine_rewrites WHERE tenant_id = $1 AND passes > 1"
COUNTED = """
SELECT coalesce(sum(total), 0)::bigint FROM series
WHERE tenant_id = $1 AND metric = 'quartet_events_total' AND labels[1] = ANY($2::text[])"""
STEPS: Mapping[str, Callable[[datetime], datetime]] = {
    "minute": lambda at: at.replace(second=0, microsecond=0),
    "hour": lambda at: at.replace(minute=0, second=0, microsecond=0),
    "day": lambda at: datetime.combine(at.date(), time(), UTC),
    "week": lambda at: datetime.combine(at.date() - timedelta(days=at.weekday()), time(), UTC),
    "month": lambda at: datetime.combine(at.date().replace(day=1), time(), UTC),
}
WINDOWS = {"daily": 1, "weekly": 7, "monthly": 30}
CORRECTED = {"daily": DAYS, "weekly": DAYS, "monthly": 6}
"""Days, today included, whose numbers of active users late events correct."""
KILLED = (("metrics-worker",), (ENGINE,), (), ("redis",), ("metrics-worker", ENGINE, "redis"))
"""What is killed in turn; where nothing is, the engine loses its data."""


class Expected:
    """Events of a tenant, and what must be counted of them."""

    def __init__(self, tenant: str, number: int) -> None:
        self.tenant = tenant
        self.now = datetime.now(UTC)
        self.users = [new_id() for _ in range(max(20, number // 40))]
        self.events: list[Event] = []
        for one in range(number):
            self.add(one)

    def add(self, number: int) -> Event:
        """One more event: each fourth happens now, the others were late by up to DAYS."""
        late = timedelta(minutes=number * 7919 % (60 * 24 * DAYS)) if number % 4 else timedelta()
        action = ACTIONS[number % len(ACTIONS)]
        event = Event(
            id=new_id(),
            source=f"/{action.partition('.')[0]}",
            type=f"{TYPE_PREFIX}{action}.v1",
            subject=f"things/{number}",
            time=self.now - late,
            tenantid=self.tenant,
            actorid="tester",
            sequence=1,
            data={"userId": str(self.users[number * 104_729 % len(self.users)]), "active": True},
        )
        self.events.append(event)
        return event

    def counts(self, step: str, start: datetime, end: datetime) -> dict[str, dict[datetime, int]]:
        """The number of events of each action in each bucket with some."""
        found: dict[str, Counter[datetime]] = defaultdict(Counter)
        for event in self.events:
            if start <= event.time < end:
                found[event.action][max(STEPS[step](event.time), start)] += 1
        return {action: dict(buckets) for action, buckets in found.items()}

    def active(self, days: int) -> dict[date, int]:
        """The active users of the windows of `days` that end with each of the last DAYS days."""
        seen: dict[date, set[str]] = defaultdict(set)
        for event in self.events:
            if event.action == ACTIONS[0]:
                seen[event.time.date()].add(event.data["userId"])
        ends = [self.now.date() - timedelta(days=one) for one in range(DAYS)]
        return {end: len(set[str]().union(*(seen[end - timedelta(days=one)] for one in range(days)))) for end in ends}


class Counted:
    """What the services show of the tenant."""

    def __init__(self, api: Api, expected: Expected) -> None:
        self.api = api
        self.expected = expected

    async def query(self, **parameters: str) -> dict[str, dict[datetime, int]]:
        """The values that are not 0, by series and bucket."""
        answer = await self.api.get("/metrics/query", params=parameters, timeout=60)
        assert answer.status_code == 200, answer.text
        return {
            one["key"]: {datetime.fromisoformat(at["time"]): at["value"] for at in one["points"] if at["value"]}
            for one in answer.json()["series"]
            if one["key"] in {*ACTIONS, "all"}
        }

    async def are_exact(self) -> None:
        """Each step, and the active users of each day, as PostgreSQL has them."""
        end = STEPS["hour"](self.expected.now) + timedelta(hours=1)
        for step, start, until in self._ranges(end):
            span = {"from": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "to": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
            found = await self.query(metric="events", by="type", step=step, **span)
            assert {key: self._clip(points, start) for key, points in found.items()} == self.expected.counts(
                step, start, until
            ), step
        for name, days in WINDOWS.items():
            first = self.expected.now.date() - timedelta(days=CORRECTED[name] - 1)
            span = {"from": f"{first}T00:00:00Z"}
            found = await self.query(metric=f"quartet_{name}_active_users", step="day", **span)
            wanted = {day: users for day, users in self.expected.active(days).items() if day >= first and users}
            assert found == {"all": {datetime.combine(day, time(), UTC): wanted[day] for day in wanted}}, name

    def _clip(self, points: dict[datetime, int], start: datetime) -> dict[datetime, int]:
        return {max(at, start): value for at, value in points.items()}

    def _ranges(self, end: datetime) -> Iterator[tuple[str, datetime, datetime]]:
        for half in range(12):
            until = end - timedelta(hours=12 * half)
            yield "minute", until - timedelta(hours=12), until
        for step in ("hour", "day", "week", "month"):
            yield step, end - timedelta(days=DAYS + 1), end

    async def promql(self, query: str, at: datetime | None = None) -> dict[str, float]:
        """The values of an instant query by the label `type`."""
        form = {"query": query, **({} if at is None else {"time": str(at.timestamp())})}
        answer = await self.api.post("/metrics/prometheus/api/v1/query", data=form)
        assert answer.status_code == 200, answer.text
        values = {one["metric"].get("type", ""): float(one["value"][1]) for one in answer.json()["data"]["result"]}
        return {key: value for key, value in values.items() if key in {*ACTIONS, ""}}

    async def are_in_the_engine(self) -> bool:
        """The totals, the growth of past days, and the active users at their ends, as the engine has them."""
        total = Counter(event.action for event in self.expected.events)
        assert await self.promql("sum by (type) (quartet_events_total)") == dict(total)
        for days in (1, 2, 3, 5, 10, 20):
            end = datetime.combine(self.expected.now.date() - timedelta(days=days - 1), time(), UTC)
            day = end - timedelta(days=1)
            found = await self.promql("sum by (type) (increase(quartet_events_total[1d]))", end)
            counts = self.expected.counts("day", day, end)
            wanted = {action: float(sum(buckets.values())) for action, buckets in counts.items()}
            assert {key: value for key, value in found.items() if value} == wanted, end
            for name, window in [one for one in WINDOWS.items() if days < CORRECTED[one[0]]]:
                users = self.expected.active(window)[day.date()]
                assert await self.promql(f"quartet_{name}_active_users", end + SECOND) == {"": float(users)}, (
                    name,
                    end,
                )
        return True


async def publish(stack: Stack, events: Sequence[Event]) -> None:
    """Put events into the outbox of users, as commits do."""
    async with database(stack, "users") as connection:
        for start in range(0, len(events), 500):
            some = events[start : start + 500]
            tenant, types = some[0].tenantid, [one.type for one in some]
            await connection.execute(INSERT, tenant, [one.id for one in some], types, [encode(one) for one in some])


async def lose_data_of_the_engine(stack: Stack) -> None:
    """Delete all that the engine has stored."""
    await asyncio.to_thread(stack.stop, ENGINE)
    for path in (stack.home.data / ENGINE).iterdir():
        await asyncio.to_thread(shutil.rmtree, path) if path.is_dir() else path.unlink()
    await asyncio.to_thread(stack.start, ENGINE)


async def counting_goes_on(stack: Stack, tenant: str, more: int) -> None:
    """Wait until so many events are counted."""

    async def probe() -> bool:
        async with database(stack, "metrics") as connection:
            return bool(await connection.fetchval(COUNTED, tenant, ACTIONS) >= more)

    await eventually(probe, f"{more} events are counted", 200)


async def everything_is_copied(stack: Stack, tenant: str) -> None:
    """Have late events written to the engine now, and wait until they are."""

    async def probe() -> bool:
        async with database(stack, "metrics") as connection:
            await connection.execute(SOON, tenant)
            return not await connection.fetchval(WAITS, tenant)

    await eventually(probe, "late events are written to the engine", 120)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_figures_are_exact_after_worker_engine_and_redis_are_killed_and_the_data_of_the_engine_is_lost(
    stack: Stack, token_for: TokenFor, number: int
) -> None:
    if ENGINE not in stack.programs:
        pytest.skip(f"{ENGINE} is not installed")
    expected = Expected(new_tenant(), number)
    tenant, part = expected.tenant, number // 8
    publishing = asyncio.ensure_future(publish_slowly(stack, expected.events, part))
    for turn, victims in enumerate(KILLED):
        await counting_goes_on(stack, tenant, (turn + 1) * part)
        if victims:
            await back(stack, *victims)  # from the turn before
        await asyncio.gather(*(kill(stack, name) for name in victims))
        if not victims:
            await lose_data_of_the_engine(stack)
    await publishing
    await back(stack)
    await counting_goes_on(stack, tenant, number)
    async with Api(stack.url, await token_for(tenant)) as api:
        counted = Counted(api, expected)
        await counted.are_exact()
        await everything_is_copied(stack, tenant)
        await eventually(counted.are_in_the_engine, "the engine has the figures", 120)
        await publish(stack, expected.events[:part])  # again, as a replay does
        await publish(stack, [expected.add(number)])
        await counting_goes_on(stack, tenant, number + 1)
        await counted.are_exact()


async def publish_slowly(stack: Stack, events: Sequence[Event], part: int) -> None:
    """Publish a part after the other, each when half of the one before is counted."""
    for start in range(0, len(events), part):
        await counting_goes_on(stack, events[0].tenantid, max(0, start - part // 2))
        await publish(stack, events[start : start + part])
