"""Imports of exported counts: a round trip, a repeated import, wrong lines, and what changes afterwards."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import msgspec
import pytest

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import Event
from quartet_common.runtime import tenant_deletion
from quartet_metrics.active_users.activity_domain import first_kept
from quartet_metrics.series.catalog_domain import METRICS, Kind
from quartet_metrics.series.series_domain import series_id
from quartet_metrics.subscriptions import count_events
from quartet_testing.services import RunningService, new_tenant

MakeEvent = Callable[..., Event]
PATH = "/metrics/data/import"
ACTIONS = ("users.user.created", "users.login.succeeded", "groups.group.created", "users.token.issued")
STATE = """
SELECT series, metric, labels, total, changed_from, revision, is_written FROM series WHERE tenant_id = $1 ORDER BY 1"""


async def send(metrics: RunningService, tenant: str, body: bytes, status: int = 200) -> dict[str, Any]:
    headers = {**metrics.tokens.headers("quartet", ["platform:admin"]), "Content-Type": "application/x-ndjson"}
    answer = await metrics.client.post(f"{PATH}?tenant={tenant}", data=body, headers=headers)
    assert answer.status_code == status, await answer.get_data()
    found: dict[str, Any] = await answer.get_json()
    return found


async def export(metrics: RunningService, tenant: str) -> bytes:
    headers = metrics.tokens.headers(tenant, ["tenant:admin"])
    answer = await metrics.client.get("/metrics/data/export", headers=headers)
    assert answer.status_code == 200
    body: bytes = await answer.get_data(as_text=False)
    return body


async def answers(metrics: RunningService, tenant: str) -> list[Any]:
    """Every metric in every step, by each of its labels."""
    found, headers = [], metrics.tokens.headers(tenant, ["metrics:read"])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:00:00Z")
    for metric in METRICS.values():
        daily = metric.kind is Kind.DAILY
        steps = ("day", "week", "month") if daily else ("minute", "hour", "day")
        for step, by in product(steps, ("none", *metric.labels)):
            query = {"metric": metric.name, "step": step, "by": by, "to": now}
            answer = await metrics.client.get("/metrics/query", query_string=query, headers=headers)
            assert answer.status_code == 200, await answer.get_data()
            found.append(await answer.get_json())
    return found


async def state(metrics: RunningService, tenant: str) -> list[Any]:
    async with metrics.container.database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(STATE, tenant)]


def events_of(tenant: str, make: MakeEvent, number: int) -> list[Event]:
    """Events of the last weeks, of users, groups and logins."""
    now, users, found = datetime.now(UTC), [str(new_id()) for _ in range(20)], []
    for one in range(number):
        data = {"active": one % 3 > 0, "userId": users[one % 19]}
        time = now - timedelta(minutes=one * 7919 % (60 * 24 * 20))
        action = ACTIONS[one % len(ACTIONS)]
        found.append(msgspec.structs.replace(make(tenant, time, action), data=data))
    return found


async def count(metrics: RunningService, events: list[Event]) -> None:
    async with metrics.container.database.transaction() as connection:
        await count_events(connection, events, first_kept(datetime.now(UTC), 35))


async def test_an_imported_export_gives_the_same_answers_and_goes_on_counting(
    metrics: RunningService, event: MakeEvent
) -> None:
    source, target = new_tenant(), new_tenant()
    await count(metrics, events_of(source, event, 600))
    exported = await export(metrics, source)
    assert (await send(metrics, target, exported))["changed"] > 1000
    assert await answers(metrics, target) == await answers(metrics, source)
    assert (await export(metrics, target)) == exported
    more = events_of(source, event, 100)
    await count(metrics, more)
    await count(metrics, [msgspec.structs.replace(one, tenantid=target) for one in more])
    assert await answers(metrics, target) == await answers(metrics, source)


async def test_an_import_in_parts_and_again_changes_nothing_more(metrics: RunningService, event: MakeEvent) -> None:
    source, target = new_tenant(), new_tenant()
    await count(metrics, events_of(source, event, 200))
    lines = (await export(metrics, source)).splitlines()
    for start in range(0, len(lines), 100):
        await send(metrics, target, b"\n".join(lines[start : start + 100]))
    before = await state(metrics, target)
    assert [one[:4] for one in before] == [one[:4] for one in await state(metrics, source)]
    assert await send(metrics, target, b"\n".join(lines)) == {"changed": 0}
    assert await state(metrics, target) == before
    assert await answers(metrics, target) == await answers(metrics, source)


EVENTS = ("quartet_events_total", ("x", "success"))
ID, DAILY_ID = series_id(*EVENTS), series_id("quartet_daily_active_users", ())


def series(**changes: Any) -> dict[str, Any]:
    data = {"series": str(ID), "metric": EVENTS[0], "labels": list(EVENTS[1]), "total": 1}
    return {"kind": "series", "data": data | changes}


def sample(**changes: Any) -> dict[str, Any]:
    data = {"series": str(ID), "step": "hour", "start": "2026-01-31T09:00:00Z", "amount": 1}
    return {"kind": "sample", "data": data | changes}


DAILY = {"series": str(DAILY_ID), "metric": "quartet_daily_active_users", "labels": []}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (b"{", "line 3"),
        (b"[]", "line 3"),
        (b"\xff", "line 3"),
        ({"kind": "user", "data": {}}, "'user'"),
        (series(metric="nonsense"), "there is no metric 'nonsense'"),
        (series(labels=["x"]), "has 2 labels, not 1"),
        (series(labels=["y", "success"]), "is not the id of quartet_events_total"),
        (series(series="12"), "is not the id of"),
        (series(series="x"), "'x' is not the id of a series"),
        (series(series=str(2**63)), "is not the id of a series"),
        (sample(step="week"), "'week'"),
        (sample(start="2026-01-31T09:30:00Z"), "no hour (UTC) starts at 2026-01-31T09:30:00"),
        (sample(start="2026-01-31T09:00:00"), "line 3"),
        (sample(amount=2**63), "line 3"),
        (sample(amount=1.5), "line 3"),
        (sample(start="2026-01-31T10:00:00Z"), "line 4: an earlier line has the hour"),
        (sample(amount=-1), "cannot grow by -1"),
        (sample(series="12"), "neither in this part nor imported before"),
        (sample(more=1), "more"),
        ({"kind": "active_user", "data": {"day": "2026-01-31", "user_id": "x"}}, "line 3"),
        ({"kind": "active_user", "data": {"day": "yesterday", "user_id": str(new_id())}}, "line 3"),
        (sample(series=str(DAILY_ID)), "has days only, not the hour"),
    ],
)
async def test_a_wrong_line_is_named_and_nothing_is_imported(metrics: RunningService, wrong: Any, problem: str) -> None:
    tenant = new_tenant()
    text = wrong if isinstance(wrong, bytes) else msgspec.json.encode(wrong)
    lines = [msgspec.json.encode(one) for one in (series(), series(**DAILY))]
    refused = await send(
        metrics, tenant, b"\n".join([*lines, text, msgspec.json.encode(sample(start="2026-01-31T10:00:00Z"))]), 400
    )
    assert refused["code"] == "bad_import"
    assert problem in refused["detail"]
    assert await state(metrics, tenant) == []


async def test_other_tenants_bodies_and_callers_are_refused(metrics: RunningService, event: MakeEvent) -> None:
    assert "tenant must be" in (await send(metrics, "Not*A", b"", 400))["detail"]
    headers = metrics.tokens.headers("quartet", ["platform:admin"])
    answer = await metrics.client.post(f"{PATH}?tenant=acme", json={}, headers=headers)
    assert answer.status_code == 415
    own = metrics.tokens.headers("acme", ["tenant:admin"])
    assert (await metrics.client.post(f"{PATH}?tenant=acme", json={}, headers=own)).status_code == 403
    deleted = new_tenant()
    async with metrics.container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, deleted)
    assert "deleted" in (await send(metrics, deleted, b"", 404))["detail"]
