"""GET /audit/histogram: counts by time and dimension, with the filters of a list."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.entries import histogram_usecases, text_search_store
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

MANY = 120
DAY = {"from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z", "interval": "hour"}
FIRST = 9
"""The hour of the first entries."""


@pytest.fixture(scope="module")
async def tenant(audit: "Audit", make_event: "MakeEvent") -> str:
    """A tenant with 120 entries: ten each hour, in two actions, every tenth denied."""
    tenant = new_tenant()
    await audit.record(
        [
            make_event(
                ("users.user.created", "groups.group.created")[number % 2],
                tenant,
                time=make_event().time + timedelta(hours=number // 10, minutes=number % 10),
                actorid=f"actor-{number % 3}",
                subject=f"{('users', 'groups')[number % 2]}/{number}",
                outcome="denied" if number % 10 == 0 else "success",
                sourceip=f"192.0.2.{number}",
                data={"number": f"number{number}"},
            )
            for number in range(MANY)
        ]
    )
    return tenant


async def ask(audit: "Audit", tenant: str, **query: object) -> list[dict[str, Any]]:
    status, answer = await audit.ask(tenant, "/audit/histogram", {**DAY, **query})
    assert status == 200, answer
    return list(answer["buckets"])


async def test_entries_are_counted_by_the_hour(audit: "Audit", tenant: str) -> None:
    expected = [{"start": f"2026-01-31T{hour:02}:00:00Z", "count": 10} for hour in range(FIRST, FIRST + 12)]
    assert await ask(audit, tenant) == expected
    assert await ask(audit, tenant, interval="day") == [{"start": "2026-01-31T00:00:00Z", "count": MANY}]
    assert await ask(audit, new_tenant()) == []


async def test_from_is_inclusive_and_to_is_exclusive(audit: "Audit", tenant: str) -> None:
    found = await ask(audit, tenant, **{"from": "2026-01-31T10:05:00Z", "to": "2026-01-31T11:01:00Z"})
    assert [bucket["count"] for bucket in found] == [5, 1]


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        ("action", {"users.user.created": 5, "groups.group.created": 5}),
        ("outcome", {"denied": 1, "success": 9}),
        ("actor", {"actor-0": 4, "actor-1": 3, "actor-2": 3}),
        ("resource_type", {"users": 5, "groups": 5}),
    ],
)
async def test_each_value_of_a_dimension_is_counted(
    audit: "Audit", tenant: str, dimension: str, values: dict[str, int]
) -> None:
    [bucket, *_] = await ask(audit, tenant, dimension=dimension)
    assert bucket == {"start": "2026-01-31T09:00:00Z", "count": 10, "values": values}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"action": "users.user.created"}, 60),
        ({"action": "users.*"}, 60),
        ({"actor": "actor-1"}, 40),
        ({"resource": "7"}, 1),
        ({"resource_type": "groups"}, 60),
        ({"outcome": "denied"}, 12),
        ({"outcome": "denied", "actor": "actor-0"}, 4),
        ({"outcome": "denied", "resource_type": "groups"}, 0),
        ({"address": "192.0.2.0/28"}, 16),
        ({"address": "192.0.2.0/28", "resource_type": "users"}, 8),
        ({"text": "number17"}, 1),
        ({"text": "number17", "outcome": "denied"}, 0),
    ],
    ids=str,
)
async def test_filters_are_those_of_the_list(audit: "Audit", tenant: str, query: dict[str, str], count: int) -> None:
    buckets = await ask(audit, tenant, **query, dimension="outcome")
    assert sum(bucket["count"] for bucket in buckets) == count
    assert len(await audit.find(tenant, **query)) == count
    assert all(bucket["count"] == sum(bucket["values"].values()) for bucket in buckets)


@pytest.mark.parametrize("query", [{}, {"actor": "actor-1"}, {"outcome": "denied"}])
async def test_a_histogram_that_reads_too_much_is_refused(
    audit: "Audit", tenant: str, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    monkeypatch.setattr(histogram_usecases, "MAX_READ", 11)
    status, problem = await audit.ask(tenant, "/audit/histogram", {**DAY, **query})
    assert (status, problem["code"]) == (400, "too_many_entries")
    assert problem["detail"].startswith("from and to are too far apart: more than 11 entries would be read")


async def test_a_histogram_that_checks_too_much_is_refused(
    audit: "Audit", tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_search_store, "MAX_CHECKED", 20)
    monkeypatch.setattr(text_search_store, "CHECKED_AT_ONCE", 10)
    monkeypatch.setattr(histogram_usecases, "MAX_CHECKED", 100)
    status, problem = await audit.ask(tenant, "/audit/histogram", {**DAY, "address": "192.0.2.0/24"})
    assert (status, problem["code"]) == (400, "too_many_entries")
    assert sum(one["count"] for one in await ask(audit, tenant, address="192.0.2.0/24", actor="actor-1")) == 40


async def test_a_histogram_with_too_many_values_is_refused(
    audit: "Audit", tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histogram_usecases, "MAX_COUNTS", 35)
    status, problem = await audit.ask(tenant, "/audit/histogram", {**DAY, "dimension": "actor"})
    assert (status, problem["code"]) == (400, "too_many_entries")
    assert await ask(audit, tenant, dimension="action")


async def test_nonsense_is_answered_by_400_that_names_the_parameter(audit: "Audit", tenant: str) -> None:
    status, problem = await audit.ask(tenant, "/audit/histogram", {**DAY, "interval": "year"})
    assert (status, problem["code"]) == (400, "bad_parameter")
    assert problem["detail"].startswith("interval ")
