"""The HTTP side: answers, refusals, what other tenants see, export, and the plan that PostgreSQL makes."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quartet_metrics.queries import query_store
from quartet_metrics.queries.query_domain import STEPS, Query, bucket_starts
from quartet_metrics.series import series_store
from quartet_metrics.series.catalog_domain import ALIASES, METRICS
from quartet_metrics.series.series_domain import Place, SeriesKey
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def fill(metrics: RunningService, tenant: str, counts: Iterable[tuple[datetime, str, str, int]]) -> None:
    amounts = {
        Place(SeriesKey(tenant, "quartet_events_total", (action, outcome)), minute): count
        for minute, action, outcome, count in counts
    }
    async with metrics.container.database.transaction() as connection:
        await series_store.add_amounts(connection, amounts, {})


async def ask(metrics: RunningService, tenant: str, query: str) -> tuple[int, dict[str, Any]]:
    headers = metrics.tokens.headers(tenant, ["metrics:read"])
    response = await metrics.client.get(f"/metrics/query?{query}", headers=headers)
    return response.status_code, await response.get_json()


RANGE = "metric=events&from=2026-01-31T08:00:00Z&to=2026-02-02T00:00:00Z"


async def test_a_query_answers_dense_series_per_key_with_their_total(metrics: RunningService) -> None:
    tenant = new_tenant()
    await fill(
        metrics,
        tenant,
        [
            (NINE, "users.user.created", "success", 3),
            (NINE + 25 * HOUR, "users.user.created", "success", 2),
            (NINE, "groups.group.created", "denied", 1),
        ],
    )
    status, answer = await ask(metrics, tenant, f"{RANGE}&step=P1D&by=type")
    assert status == 200
    assert answer == {
        "metric": "events",
        "from": "2026-01-31T08:00:00Z",
        "to": "2026-02-02T00:00:00Z",
        "step": "day",
        "by": "type",
        "series": [
            {
                "key": "groups.group.created",
                "points": [{"time": "2026-01-31T00:00:00Z", "value": 1}, {"time": "2026-02-01T00:00:00Z", "value": 0}],
            },
            {
                "key": "users.user.created",
                "points": [{"time": "2026-01-31T00:00:00Z", "value": 3}, {"time": "2026-02-01T00:00:00Z", "value": 2}],
            },
        ],
        "total": 6,
    }


async def test_the_end_of_a_range_is_not_in_it_and_its_start_is(metrics: RunningService) -> None:
    tenant = new_tenant()
    await fill(metrics, tenant, [(NINE + n * HOUR, "users.user.created", "success", 10**n) for n in range(4)])
    _, answer = await ask(metrics, tenant, "metric=events&from=2026-01-31T10:00:00Z&to=2026-01-31T12:00:00Z")
    assert answer["total"] == 110
    assert [point["value"] for point in answer["series"][0]["points"]] == [10, 100]


async def test_hours_and_days_of_one_range_have_one_total(metrics: RunningService) -> None:
    tenant = new_tenant()
    await fill(metrics, tenant, [(NINE + n * HOUR, "users.user.created", "success", n + 1) for n in range(60)])
    span = "metric=events&from=2026-01-31T13:00:00Z&to=2026-02-02T11:00:00Z"
    _, hours = await ask(metrics, tenant, span)
    _, days = await ask(metrics, tenant, f"{span}&step=day")
    assert hours["total"] == days["total"] == sum(range(5, 51))
    assert len(hours["series"][0]["points"]) == 46
    assert [point["value"] for point in days["series"][0]["points"]] == [
        sum(range(5, 16)),
        sum(range(16, 40)),
        sum(range(40, 51)),
    ]


async def test_another_tenant_sees_nothing_of_it(metrics: RunningService) -> None:
    mine, other = new_tenant(), new_tenant()
    await fill(metrics, mine, [(NINE, "users.user.created", "success", 3)])
    for by in ("type", "outcome", "none"):
        assert (await ask(metrics, other, f"{RANGE}&by={by}"))[1]["total"] == 0
    assert (await ask(metrics, mine, RANGE))[1]["total"] == 3


async def test_nonsense_is_answered_with_a_problem_that_names_the_parameter(metrics: RunningService) -> None:
    for query, name in (
        ("", "metric"),
        ("metric=logins", "metric"),
        ("metric=events&from=never", "from"),
        ("metric=events&to=2026-01-31", "to"),
        ("metric=events&step=second", "step"),
        ("metric=events&step=day&tz=Mars/Olympus", "tz"),
        ("metric=quartet_groups&step=minute&from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z", "from"),
        ("metric=events&by=actor", "by"),
        ("metric=events&form=2026-01-31T09:00:00Z", "form"),
    ):
        status, answer = await ask(metrics, new_tenant(), query)
        assert (status, answer["code"]) == (400, "bad_parameter")
        assert answer["detail"].startswith(f"{name} ")


async def test_an_answer_of_too_many_points_is_refused_and_says_how_to_ask_for_less(metrics: RunningService) -> None:
    tenant = new_tenant()
    await fill(metrics, tenant, [(NINE, f"users.thing{n}.happened", "success", 1) for n in range(11)])
    ten_to_the_three_hours = "metric=events&from=2026-01-01T00:00:00Z&to=2026-02-11T16:00:00Z"
    status, answer = await ask(metrics, tenant, f"{ten_to_the_three_hours}&by=type")
    assert (status, answer["code"]) == (400, "too_many_points")
    assert "step=day" in answer["detail"]
    assert (await ask(metrics, tenant, f"{ten_to_the_three_hours}&by=none"))[0] == 200
    assert (await ask(metrics, tenant, f"{ten_to_the_three_hours}&by=type&step=day"))[0] == 200


def hours_of_type(start: datetime, end: datetime, by: str = "type") -> Query:
    starts = bucket_starts(start, end, STEPS["hour"], UTC)
    return Query("events", ALIASES["events"], start, end, STEPS["hour"], by, starts)


async def test_more_keys_than_points_are_refused_without_reading_them_all(metrics: RunningService) -> None:
    tenant = new_tenant()
    await fill(metrics, tenant, [(NINE, f"users.thing{n}.happened", "success", 1) for n in range(10_002)])
    query = hours_of_type(NINE, NINE + HOUR)
    async with metrics.container.database.connection() as connection:
        assert len(await query_store.read_sums(connection, tenant, query)) == 10_002
    assert (await ask(metrics, tenant, f"{RANGE}&by=type"))[1]["code"] == "too_many_points"


async def test_the_catalog_describes_each_metric_and_each_can_be_queried(metrics: RunningService) -> None:
    tenant = new_tenant()
    headers = metrics.tokens.headers(tenant, ["metrics:read"])
    answer = await (await metrics.client.get("/metrics/catalog", headers=headers)).get_json()
    assert [one["name"] for one in answer["metrics"]] == list(METRICS)
    assert answer["metrics"][0] == {
        "name": "quartet_events_total",
        "type": "counter",
        "unit": "events",
        "labels": ["type", "outcome"],
        "meaning": METRICS["quartet_events_total"].meaning,
    }
    assert {one["type"] for one in answer["metrics"]} == {"counter", "gauge"}
    assert [step["duration"] for step in answer["steps"]] == ["PT1M", "PT1H", "P1D", "P7D", "P1M"]
    assert answer["max_points"] == 10_000
    for one in answer["metrics"]:
        for by in (*one["labels"], "none"):
            for step in ("day", "week", "month"):
                status, _ = await ask(metrics, tenant, f"metric={one['name']}&by={by}&step={step}")
                assert status == 200, (one["name"], by, step)


async def test_minutes_and_days_of_a_time_zone_are_told_apart(metrics: RunningService) -> None:
    tenant = new_tenant()
    start = metrics.container.clock().replace(hour=0, minute=0, second=0, microsecond=0) - 3 * DAY
    half_past = [start + 18 * HOUR + n * timedelta(minutes=1) for n in (29, 30)]  # midnight in Kolkata
    await fill(
        metrics, tenant, [(minute, "users.user.created", "success", n + 1) for n, minute in enumerate(half_past)]
    )
    span = f"metric=quartet_events_total&from={start:%Y-%m-%dT00:00:00Z}&to={start:%Y-%m-%dT20:00:00Z}"
    for step, zone, values in (
        ("day", "Asia/Kolkata", [1, 2]),
        ("day", "Asia/Tokyo", [0, 3]),
        ("day", "UTC", [3]),
        ("hour", "UTC", [*[0] * 18, 3, 0]),
        ("minute", "UTC", [*[0] * 1109, 1, 2, *[0] * 89]),
    ):
        _, answer = await ask(metrics, tenant, f"{span}&step={step}&tz={zone}")
        assert [point["value"] for point in answer["series"][0]["points"]] == values, zone


@pytest.mark.parametrize("path", ["/metrics/query?metric=events", "/metrics/catalog"])
async def test_a_question_needs_a_token_with_the_scope(metrics: RunningService, path: str) -> None:
    assert (await metrics.client.get(path)).status_code == 401
    wrong = metrics.tokens.headers(new_tenant(), ["metrics:write", "audit:read"])
    assert (await metrics.client.get(path, headers=wrong)).status_code == 403


async def test_an_export_holds_every_count_of_the_tenant_and_no_other(metrics: RunningService) -> None:
    mine, other = new_tenant(), new_tenant()
    await fill(metrics, mine, [(NINE + n * HOUR, "users.user.created", "success", n + 1) for n in range(2500)])
    await fill(metrics, other, [(NINE, "users.user.deleted", "success", 1)])
    headers = metrics.tokens.headers(mine, ["tenant:admin"])
    response = await metrics.client.get("/metrics/data/export", headers=headers)
    lines = [json.loads(line) for line in (await response.get_data()).splitlines()]
    labels = {"metric": "quartet_events_total", "labels": ["users.user.created", "success"]}
    assert lines[0] == {"kind": "series", "data": {"series": lines[0]["data"]["series"], **labels, "total": 3126250}}
    samples = [line["data"] for line in lines if line["kind"] == "sample"]
    assert {one["series"] for one in samples} == {lines[0]["data"]["series"]}
    assert [one["amount"] for one in samples if one["step"] == "hour"] == list(range(1, 2501))
    assert sum(one["amount"] for one in samples if one["step"] == "day") == 3126250
    assert lines[-1] == {"kind": "end", "count": len(lines) - 1}


async def test_the_openapi_document_tells_of_parameters_and_answers(metrics: RunningService) -> None:
    document = await (await metrics.client.get("/metrics/openapi.json")).get_json()
    operation = document["paths"]["/metrics/query"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["metric", "from", "to", "step", "by", "tz"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(answer["properties"]) == {"metric", "from", "to", "step", "by", "series", "total"}


async def test_rabbitmq_and_health_are_mounted(metrics: RunningService) -> None:
    headers = metrics.tokens.headers(new_tenant(), ["events:manage"])
    queues = await (await metrics.client.get("/metrics/rabbitmq/queues", headers=headers)).get_json()
    assert "quartet.metrics" in [queue["name"] for queue in queues["queues"]]
    assert (await metrics.client.get("/metrics/health/ready")).status_code == 200


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("by", ["type", "outcome", "none"])
async def test_a_query_reads_the_range_of_the_index_that_it_asks_for_and_nothing_else(
    metrics: RunningService, by: str
) -> None:
    tenant = new_tenant()
    many = """
        INSERT INTO samples SELECT tenant_id, series, 'hour', $2::timestamptz + hour * interval '1 hour', 1
        FROM series, generate_series(0, 999) hour WHERE tenant_id LIKE $1 || '%'"""
    for number in range(20):
        await fill(metrics, f"{tenant}{number}", [(NINE - DAY, f"users.a{n}", "success", 1) for n in range(5)])
    query = hours_of_type(NINE + 10 * HOUR, NINE + 34 * HOUR, by)
    async with metrics.container.database.connection() as connection:
        await connection.execute(many, tenant, NINE)
        await connection.execute("ANALYZE samples")
        plan = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {query_store.SUMS}",
            *query_store.arguments(f"{tenant}7", query, query.starts),
        )
        await connection.execute("DELETE FROM samples WHERE tenant_id LIKE $1 || '%'", tenant)
        await connection.execute("DELETE FROM series WHERE tenant_id LIKE $1 || '%'", tenant)
    found = [node for node in nodes(json.loads(plan)[0]["Plan"]) if node.get("Relation Name") == "samples"]
    [scan] = [node for node in found if "Index Cond" in node]
    assert [node["Node Type"] for node in found] in (["Index Scan"], ["Bitmap Heap Scan"], ["Index Only Scan"])
    assert all(name in scan["Index Cond"] for name in ("tenant_id", "series", "step", "start"))
    assert scan["Actual Rows"] * scan["Actual Loops"] == 24 * 5
    assert not any(node.get("Rows Removed by Filter") for node in found)


async def test_a_query_waits_while_the_tenant_uses_its_share_of_them(metrics: RunningService) -> None:
    tenant, searches = new_tenant(), metrics.container.searches
    async with searches.hold(tenant, searches.share):
        waiting = asyncio.create_task(ask(metrics, tenant, RANGE))

        async def waits() -> bool:
            return searches.waiting == 1

        await eventually(waits, "the query waits")
        assert (await ask(metrics, new_tenant(), RANGE))[0] == 200
    assert (await waiting)[0] == 200
