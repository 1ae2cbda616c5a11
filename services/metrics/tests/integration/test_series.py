"""Series in PostgreSQL: gauges, active users, what a writer reads, retention, and counts of the release before."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from quartet_common.core.errors import ContendedError
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_metrics.active_users import active_user_store
from quartet_metrics.engine import engine_store
from quartet_metrics.retention import retention_store
from quartet_metrics.retention.retention_usecases import PRUNE_BATCH, moving_event_counts, pruning
from quartet_metrics.series import series_store
from quartet_metrics.series.series_domain import series_id
from quartet_metrics.series.series_store import FAR_PAST, ChangedSeries, Value
from quartet_metrics.subscriptions import count_events
from quartet_testing.services import RunningService, new_tenant

MakeEvent = Callable[..., Event]
NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST = date(2025, 12, 28)
"""The first day of 35 that end with that of NINE."""


async def count(metrics: RunningService, events: Sequence[Event], first: date = FIRST) -> None:
    while True:
        try:
            async with metrics.container.database.transaction() as connection:
                await count_events(connection, events, first)
        except ContendedError:
            continue
        return


async def ask(metrics: RunningService, tenant: str, **query: str) -> dict[str, list[int]]:
    """The values of each series."""
    headers = metrics.tokens.headers(tenant, ["metrics:read"])
    response = await metrics.client.get("/metrics/query", query_string=query, headers=headers)
    answer = await response.get_json()
    assert response.status_code == 200, answer
    return {one["key"]: [point["value"] for point in one["points"]] for one in answer["series"]}


def with_data(event: Event, data: dict[str, Any], **more: Any) -> Event:
    return msgspec.structs.replace(event, data=data, **more)


async def test_gauges_are_the_sums_of_events_in_whatever_order_and_show_their_past(
    metrics: RunningService, event: MakeEvent
) -> None:
    tenant, user = new_tenant(), str(new_id())
    facts = {"id": user, "active": True}
    history = [
        with_data(event(tenant, NINE, "users.user.created"), facts),
        with_data(event(tenant, NINE + timedelta(minutes=1), "users.user.created"), {"active": True}),
        with_data(
            event(tenant, NINE + timedelta(hours=1), "users.user.updated"), {"active": False, "changed": ["active"]}
        ),
        with_data(event(tenant, NINE + DAY, "users.user.deleted"), {**facts, "active": False}),
        with_data(event(tenant, NINE + DAY, "groups.membership.added"), {"members": [1, 2, 3]}),
        with_data(event(tenant, NINE + 2 * DAY, "groups.membership.removed"), {"members": [1]}),
    ]
    await count(metrics, history[3:])
    await count(metrics, history[2::-1])
    span = {"from": "2026-01-31T08:00:00Z", "to": "2026-02-03T00:00:00Z"}
    assert await ask(metrics, tenant, metric="quartet_users", by="state", step="day", **span) == {
        "active": [1, 1, 1],
        "suspended": [1, 0, 0],
    }
    hours = await ask(metrics, tenant, metric="quartet_users", by="state", **{**span, "to": "2026-01-31T11:00:00Z"})
    assert hours == {"active": [0, 2, 1], "suspended": [0, 0, 1]}
    assert await ask(metrics, tenant, metric="quartet_users", step="month", **span) == {"all": [2, 1]}
    assert await ask(metrics, tenant, metric="quartet_memberships", step="day", **span) == {"all": [0, 3, 2]}
    assert await ask(metrics, tenant, metric="quartet_audit_entries", step="day", **span) == {"all": [3, 5, 6]}
    assert await ask(metrics, tenant, metric="quartet_groups", step="day", **span) == {"all": [0, 0, 0]}


async def test_active_users_of_days_weeks_and_months_are_exact_whatever_happens(
    metrics: RunningService, event: MakeEvent
) -> None:
    """Random activities in any order, from four workers at once, with users who are deleted in between."""
    chance, tenant = Random(13), new_tenant()  # noqa: S311  # no secret
    users = [str(new_id()) for _ in range(12)]
    today = NINE.date()
    active: dict[date, set[str]] = defaultdict(set)
    events = []
    for _ in range(300):
        user, day = chance.choice(users), today - timedelta(days=chance.randrange(6) ** 2)
        at = datetime.combine(day, time(chance.randrange(24)), UTC)
        active[day].add(user)
        if chance.random() < 0.5:
            events.append(with_data(event(tenant, at, "users.login.succeeded"), {"userId": user}))
        else:
            events.append(with_data(event(tenant, at, "groups.group.created"), {}, actorid=user, actortype="user"))
    denied = with_data(event(tenant, NINE, "users.request.refused", "denied"), {}, actorid=users[0], actortype="user")
    stranger = event(tenant, NINE + timedelta(days=0), "users.user.created")
    deleted = [with_data(event(tenant, NINE, "users.user.deleted"), {"id": user}) for user in users[:4]]
    batches = [events[n : n + 7] for n in range(0, len(events), 7)] + [[denied, stranger], deleted[:1], deleted[1:]]
    chance.shuffle(batches)
    for n in range(0, len(batches), 4):
        await asyncio.gather(*(count(metrics, batch) for batch in batches[n : n + 4]))

    def window(days: int, ending: date) -> int:
        return len(set[str]().union(*(active[ending - timedelta(days=n)] for n in range(days))))

    for metric, days, exact in (("daily", 1, 34), ("weekly", 7, 28), ("monthly", 30, 5)):
        first = today - timedelta(days=exact)
        values = await ask(
            metrics,
            tenant,
            metric=f"quartet_{metric}_active_users",
            **{"from": f"{first}T00:00:00Z", "to": f"{today}T12:00:00Z"},
        )
        assert values["all"] == [window(days, first + timedelta(days=n)) for n in range(exact + 1)], metric
    async with metrics.container.database.connection() as connection:
        kept = {str(row["user_id"]) for row in await connection.fetch(
            "SELECT user_id FROM active_users WHERE tenant_id = $1", tenant
        )}  # fmt: skip
    assert not kept & set(users[:4])
    assert kept >= set(users[4:])


async def read_changed(connection: Connection, tenant: str) -> list[ChangedSeries]:
    """The changed series of a tenant."""
    found = await engine_store.read_changed(connection, NINE, 1_000_000)
    return [one.changed for one in found if one.changed.tenant == tenant]


async def test_a_writer_reads_what_changed_until_it_says_that_it_has_arrived(
    metrics: RunningService, event: MakeEvent
) -> None:
    tenant = new_tenant()
    later = NINE + timedelta(minutes=2)
    await count(metrics, [event(tenant, NINE, "groups.group.created"), event(tenant, later, "groups.group.created")])
    database, key = metrics.container.database, series_id("quartet_groups", ())
    async with database.connection() as connection:
        changed = await read_changed(connection, tenant)
        [groups] = [one for one in changed if one.series == key]
        assert (groups.metric, groups.labels, groups.changed_from) == ("quartet_groups", (), NINE)
        [none, values] = await series_store.read_values(
            connection, [groups._replace(series=0), groups], NINE - DAY, NINE - DAY
        )
    minute = timedelta(minutes=1)
    assert none == []
    assert values == [Value(NINE, 0), Value(NINE + minute, 1), Value(later + minute, 2)]
    await count(metrics, [event(tenant, later + minute, "groups.group.deleted")])
    async with database.transaction() as connection:
        await engine_store.mark_written(connection, changed)  # groups has changed since then
        [again] = [one for one in await read_changed(connection, tenant) if one.series == key]
        await engine_store.mark_written(connection, [again])
        assert key not in {one.series for one in await read_changed(connection, tenant)}
        await count_late(connection, event(tenant, NINE - minute, "groups.group.created"))
        [late] = [one for one in await read_changed(connection, tenant) if one.series == key]
        [values] = await series_store.read_values(connection, [late], NINE - DAY, NINE - DAY)
        assert [one.value for one in values] == [0, 1, 2, 3, 2]
        [hours] = await series_store.read_values(connection, [late], NINE + DAY, NINE - DAY)
        assert hours == [
            Value(NINE.replace(hour=0), 0),
            Value(NINE, 1),
            Value(NINE + timedelta(hours=1), 2),
        ]
        everything = groups._replace(changed_from=FAR_PAST)
        [days] = await series_store.read_values(connection, [everything], NINE + DAY, NINE + DAY)
    assert [one.value for one in days] == [0, 2]


async def test_a_writer_and_workers_do_not_block_each_other(metrics: RunningService, event: MakeEvent) -> None:
    tenant, database = new_tenant(), metrics.container.database
    events = [event(tenant, NINE, f"users.thing{n}.happened") for n in range(40)]
    await count(metrics, events)
    done = asyncio.Event()

    async def work() -> None:
        for _ in range(15):
            async with database.transaction() as connection:
                await count_events(connection, events, FIRST)

    async def write() -> None:
        while not done.is_set():
            async with database.transaction() as connection:
                await engine_store.mark_written(connection, (await read_changed(connection, tenant))[::-1])

    writers = [asyncio.create_task(write()) for _ in range(3)]
    try:
        await asyncio.gather(work(), work())  # raises ContendedError after a deadlock
    finally:
        done.set()
        await asyncio.gather(*writers)
    span = {"from": "2026-01-31T09:00:00Z", "to": "2026-01-31T10:00:00Z"}
    assert await ask(metrics, tenant, metric="events", **span) == {"all": [31 * 40]}


async def count_late(connection: Any, event: Event) -> None:
    await count_events(connection, [event], FIRST)


async def test_what_is_not_kept_any_more_is_deleted_and_longer_steps_stay(
    metrics: RunningService, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, user = new_tenant(), str(new_id())
    monkeypatch.setattr("quartet_metrics.retention.retention_usecases.PRUNE_BATCH", 3)
    usual = metrics.container.config.model_copy(update={"minute_days": 7, "hour_days": 400})
    monkeypatch.setattr(metrics.container, "config", usual)
    now = metrics.container.clock()
    times = [now - timedelta(days=days) for days in (500, 499, 30, 29, 1, 0)]
    logins = [with_data(event(tenant, at, "users.login.succeeded"), {"userId": user}) for at in times]
    await count(metrics, logins, date(2000, 1, 1))
    async with metrics.container.database.connection() as connection:
        assert tenant in await retention_store.read_tenants(connection)

    async def only_this(_: object) -> list[str]:
        return [tenant]  # other tests have many samples, which would be pruned three by three

    monkeypatch.setattr(retention_store, "read_tenants", only_this)
    await pruning(metrics.container).action()
    async with metrics.container.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT step, count(*) AS n FROM samples WHERE tenant_id = $1 AND series = $2 GROUP BY 1",
            tenant,
            series_id("quartet_logins_total", ("success",)),
        )
        days = await connection.fetchval("SELECT count(*) FROM active_users WHERE tenant_id = $1", tenant)
    assert {row["step"]: row["n"] for row in rows} == {"minute": 2, "hour": 4, "day": 6}
    assert days == 4
    assert PRUNE_BATCH > 3
    span = {"from": f"{times[0]:%Y-%m-%dT%H:%M:%SZ}", "step": "month", "metric": "quartet_logins_total"}
    assert sum((await ask(metrics, tenant, **span))["all"]) == 6


async def test_counts_of_the_release_before_become_series(metrics: RunningService) -> None:
    tenant = new_tenant()
    old = [
        (NINE, "users.user.created", "success", 5),
        (NINE + timedelta(hours=1), "users.user.created", "success", 2),
        (NINE + DAY, "users.user.deleted", "success", 3),
        (NINE, "users.request.refused", "denied", 4),
        (NINE, "users.login.succeeded", "success", 2),
        (NINE, "users.session.ended", "success", 1),
    ]
    async with metrics.container.database.connection() as connection:
        await connection.executemany(
            "INSERT INTO event_counts VALUES ($1, $2, $3, $4, $5)", [(tenant, *row) for row in old]
        )
    await moving_event_counts(metrics.container).action()
    await moving_event_counts(metrics.container).action()
    span = {"from": "2026-01-31T00:00:00Z", "to": "2026-02-02T00:00:00Z", "step": "day"}
    assert await ask(metrics, tenant, metric="events", by="type", **span) == {
        "users.login.succeeded": [2, 0],
        "users.request.refused": [4, 0],
        "users.session.ended": [1, 0],
        "users.user.created": [7, 0],
        "users.user.deleted": [0, 3],
    }
    assert await ask(metrics, tenant, metric="refusals", **span) == {"all": [4, 0]}
    assert await ask(metrics, tenant, metric="quartet_users", by="state", **span) == {"active": [7, 4]}
    assert await ask(metrics, tenant, metric="quartet_sessions", **span) == {"all": [1, 1]}
    hours = await ask(metrics, tenant, metric="events", **{**span, "to": "2026-01-31T11:00:00Z", "step": "hour"})
    assert hours["all"][-2:] == [12, 2]
    async with metrics.container.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM event_counts WHERE tenant_id = $1", tenant) == 0
        same = await connection.fetchval(
            "SELECT bool_and(series = series_id(metric, labels)) FROM series WHERE tenant_id = $1", tenant
        )
        ids = await connection.fetch("SELECT series, metric, labels FROM series WHERE tenant_id = $1", tenant)
    assert same
    assert all(row["series"] == series_id(row["metric"], tuple(row["labels"])) for row in ids)


async def test_a_late_event_of_a_deleted_user_counts_nobody_twice(metrics: RunningService, event: MakeEvent) -> None:
    tenant, user = new_tenant(), new_id()
    login = with_data(event(tenant, NINE, "users.login.succeeded"), {"userId": str(user)})
    await count(metrics, [login, with_data(event(tenant, NINE, "users.user.deleted"), {"id": str(user)})])
    await count(metrics, [msgspec.structs.replace(login, id=new_id()), with_data(login, login.data, time=NINE - DAY)])
    span = {"from": "2026-01-30T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    assert await ask(metrics, tenant, metric="quartet_monthly_active_users", **span) == {"all": [1, 1]}
    async with metrics.container.database.transaction() as connection:
        await active_user_store.prune(connection, tenant, date(9999, 1, 1))
        left = [
            await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant)
            for table in ("active_users", "former_users")
        ]
    assert left == [0, 0]
    assert isinstance(user, UUID)
