"""GET /audit/events: filters, pages and tenants."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.entries import entry_search_store, entry_store
from quartet_common.web.guard import is_public, scopes_of
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

MANY = 120


@pytest.fixture
async def tenant(audit: "Audit", make_event: "MakeEvent") -> str:
    """A tenant with 120 entries: ten a moment, with two actors, three actions and every tenth denied."""
    tenant = new_tenant()
    actions = ("users.user.created", "users.user.updated", "groups.group.created")
    first = make_event().time
    await audit.record(
        [
            make_event(
                actions[number % 3],
                tenant,
                time=first + timedelta(hours=number // 10),
                actorid=("okta", "entra")[number % 2],
                subject=f"things/{number % 40}",
                outcome="denied" if number % 10 == 0 else "success",
                data={"number": number},
            )
            for number in range(MANY)
        ]
    )
    return tenant


def numbers(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["data"]["number"] for entry in entries]


async def test_an_entry_is_shown_as_the_contract_says(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    event = make_event(
        tenant=tenant,
        subject="users/2819",
        sourceip="192.0.2.7",
        actorname="Olga",
        useragent="curl/8",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        data={"userName": "bjensen", "note": "ä\0€"},
    )
    await audit.record([event])
    [entry] = (await audit.page(tenant))["events"]
    recorded = entry.pop("recorded_time")
    assert recorded > entry["time"]
    assert entry == {
        "id": str(event.id),
        "sequence": 0,
        "time": "2026-01-31T09:00:00Z",
        "tenant": tenant,
        "action": "users.user.created",
        "type": "quartet.users.user.created.v1",
        "actor": "tester",
        "resource": {"type": "users", "id": "2819"},
        "outcome": "success",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "actor_name": "Olga",
        "actor_type": None,
        "resource_name": "bjensen",
        "source_address": "192.0.2.7",
        "user_agent": "curl/8",
        "data": {"userName": "bjensen", "note": "ä\0€"},
    }
    status, one = await audit.ask(tenant, f"/audit/events/{event.id}")
    assert status == 200
    assert one == {**entry, "recorded_time": recorded}


async def test_the_newest_come_first_unless_asked_otherwise(audit: "Audit", tenant: str) -> None:
    first = await audit.page(tenant)
    assert numbers(first["events"]) == list(range(MANY - 1, MANY - 51, -1))
    oldest = await audit.page(tenant, order="asc", limit=3)
    assert numbers(oldest["events"]) == [0, 1, 2]


FILTERS: list[tuple[dict[str, str], Callable[[int], object]]] = [
    ({"action": "users.user.updated"}, lambda n: n % 3 == 1),
    ({"action": "users.user.*"}, lambda n: n % 3 < 2),
    ({"action": "users.user.c*"}, lambda n: n % 3 == 0),
    ({"action": "*"}, lambda _: True),
    ({"action": "users.user."}, lambda _: False),
    ({"action": "nothing.*"}, lambda _: False),
    ({"actor": "okta"}, lambda n: n % 2 == 0),
    ({"resource": "7"}, lambda n: n % 40 == 7),
    ({"outcome": "denied"}, lambda n: n % 10 == 0),
    ({"from": "2026-01-31T10:00:00Z", "to": "2026-01-31T12:00:00+00:00"}, lambda n: 10 <= n < 30),
    ({"actor": "okta", "action": "users.*", "outcome": "success"}, lambda n: n % 2 == 0 and n % 3 < 2 and n % 10),
    ({"actor": "entra", "resource": "7", "to": "2026-01-31T11:00:00Z"}, lambda n: n == 7),
    ({"actor": "entra", "outcome": "denied"}, lambda _: False),
]


@pytest.mark.parametrize(("query", "passes"), FILTERS, ids=[str(query) for query, _ in FILTERS])
@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_every_filter_finds_exactly_its_entries_in_order_over_all_pages(
    audit: "Audit", tenant: str, query: dict[str, Any], passes: Callable[[int], object], order: str, limit: int
) -> None:
    expected = [n for n in range(MANY) if passes(n)]
    if order == "desc":
        expected.reverse()
    assert numbers(await audit.find(tenant, **query, order=order, limit=limit)) == expected


async def test_a_full_last_page_has_no_next(audit: "Audit", tenant: str) -> None:
    page = await audit.page(tenant, resource="7", limit=3)
    assert len(page["events"]) == 3
    assert page["next"] is None


@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_a_page_of_combined_filters_looks_at_a_bounded_number_of_entries(
    audit: "Audit", tenant: str, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(entry_search_store, "MAX_SCANNED", 10)
    question: dict[str, object] = {
        "actor": "okta",
        "outcome": "denied",
        "action": "groups.*",
        "order": order,
        "limit": 5,
    }
    first = await audit.page(tenant, **question)
    assert len(first["events"]) < 5
    assert first["next"] is not None
    found = numbers(await audit.find(tenant, **question))
    assert sorted(found) == [20, 50, 80, 110]
    assert found == sorted(found, reverse=order == "desc")


async def test_pages_neither_repeat_nor_miss_an_entry_while_new_ones_arrive(
    audit: "Audit", tenant: str, make_event: "MakeEvent"
) -> None:
    first = make_event().time

    async def arrive() -> None:
        for number in range(MANY, MANY + 60):
            # between those that are there, at their moments, and after all of them
            when = first + timedelta(hours=number % 14)
            await audit.record([make_event(tenant=tenant, time=when, data={"number": number})])

    arriving = asyncio.ensure_future(arrive())
    found = numbers(await audit.find(tenant, limit=3))
    await arriving
    old = [number for number in found if number < MANY]
    assert old == list(range(MANY - 1, -1, -1))
    assert len(found) == len(set(found))


async def test_another_tenant_sees_nothing(audit: "Audit", tenant: str, make_event: "MakeEvent") -> None:
    other = new_tenant()
    assert (await audit.page(other))["events"] == []
    for query in ({"action": "users.*"}, {"actor": "okta"}, {"resource": "7"}, {"actor": "okta", "outcome": "denied"}):
        assert await audit.find(other, **query) == []
    [entry] = (await audit.page(tenant, limit=1))["events"]
    assert (await audit.ask(tenant, f"/audit/events/{entry['id']}"))[0] == 200
    status, problem = await audit.ask(other, f"/audit/events/{entry['id']}")
    assert (status, problem["code"]) == (404, "not_found")


async def test_a_cursor_never_crosses_tenants(audit: "Audit", tenant: str) -> None:
    cursor = (await audit.page(tenant))["next"]
    status, problem = await audit.ask(new_tenant(), query={"cursor": cursor})
    assert (status, problem["code"]) == (400, "bad_cursor")


async def test_a_cursor_that_was_tampered_with_is_refused(audit: "Audit", tenant: str) -> None:
    cursor = (await audit.page(tenant))["next"]
    changed = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    status, problem = await audit.ask(tenant, query={"cursor": changed})
    assert (status, problem["code"]) == (400, "bad_cursor")


async def test_nonsense_is_answered_by_400_that_names_the_parameter(audit: "Audit", tenant: str) -> None:
    status, problem = await audit.ask(tenant, query={"from": "yesterday"})
    assert (status, problem["code"]) == (400, "bad_parameter")
    assert problem["detail"].startswith("from ")


async def test_an_id_that_nobody_has_is_404(audit: "Audit") -> None:
    assert (await audit.ask(new_tenant(), "/audit/events/00000000-0000-7000-8000-000000000000"))[0] == 404


@pytest.mark.parametrize("odd", ["1", "x" * 36, "00000000000070008000000000000000"])
async def test_an_id_that_is_no_uuid_is_400_and_named(audit: "Audit", odd: str) -> None:
    status, problem = await audit.ask(new_tenant(), f"/audit/events/{odd}")
    assert (status, problem["code"]) == (400, "bad_parameter")
    assert problem["detail"] == f"id must be the UUID of an entry, got '{odd}'"


async def test_every_route_of_the_service_needs_a_token_and_its_scope(audit: "Audit") -> None:
    app = audit.service.app
    needed: dict[str, tuple[str, ...]] = {}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if not is_public(view):
            needed[rule.rule] = tuple(sorted({*needed.get(rule.rule, ()), *scopes_of(view)}))
    assert needed == {
        "/audit/events": ("audit:read", "audit:write"),
        "/audit/events/live": ("audit:read",),
        "/audit/events/<identifier>": ("audit:read",),
        "/audit/events/<identifier>/proof": ("audit:read",),
        "/audit/events/<identifier>/proof.tlog-proof": ("audit:read",),
        "/audit/histogram": ("audit:read",),
        "/audit/log/keys/rotate": ("platform:admin",),
        "/audit/log/<tenant>/checkpoint": ("audit:read",),
        "/audit/log/<tenant>/consistency": ("audit:read",),
        "/audit/log/<tenant>/keys": ("audit:read",),
        "/audit/log/<tenant>/tile/<tile:path>": ("audit:read",),
        "/audit/data/export": ("audit:export",),
        "/audit/data/archive": ("platform:admin",),
        "/audit/data/restore": ("platform:admin",),
        "/audit/export": ("audit:export",),
        "/audit/erasures": ("audit:erase",),
        "/audit/erasures/<erasure_id>": ("audit:erase",),
        "/audit/streams": ("audit:streams",),
        "/audit/streams/<stream_id>": ("audit:streams",),
        "/audit/streams/<stream_id>/pause": ("audit:streams",),
        "/audit/streams/<stream_id>/resume": ("audit:streams",),
        "/audit/streams/<stream_id>/replay": ("audit:streams",),
        "/audit/totals": ("service",),
        "/audit/retention": ("audit:retention",),
        "/audit/legal-hold": ("audit:retention",),
        "/audit/legal-holds": ("platform:admin",),
        "/audit/legal-holds/<tenant>": ("platform:admin",),
        "/audit/rabbitmq/outbox": ("events:manage",),
        "/audit/rabbitmq/queues": ("events:manage",),
        "/audit/rabbitmq/dead-letters": ("events:manage",),
        "/audit/rabbitmq/consumers": ("events:manage",),
        "/audit/rabbitmq/consumers/<consumer>/pause": ("platform:admin",),
        "/audit/rabbitmq/consumers/<consumer>/resume": ("platform:admin",),
        "/audit/rabbitmq/dead-letters/counts": ("events:manage",),
        "/audit/rabbitmq/dead-letters/<letter_id>": ("events:manage",),
        "/audit/rabbitmq/dead-letters/discard": ("events:manage",),
        "/audit/rabbitmq/redrives": ("events:manage",),
        "/audit/rabbitmq/redrives/<redrive_id>": ("events:manage",),
        "/audit/rabbitmq/redrives/<redrive_id>/cancel": ("events:manage",),
        "/audit/rabbitmq/replay": ("events:manage",),
    }
    assert (await audit.client.get("/audit/events")).status_code == 401
    headers = audit.tokens.headers(new_tenant(), ["users:read", "audit:export"])
    assert (await audit.client.get("/audit/events", headers=headers)).status_code == 403


async def test_openapi_tells_of_parameters_and_answers(audit: "Audit") -> None:
    document = await (await audit.client.get("/audit/openapi.json")).get_json()
    operation = document["paths"]["/audit/events"]["get"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        *("action", "actor", "resource", "resource_type", "outcome", "address", "trace_id", "text"),
        *("from", "to", "order", "limit", "cursor"),
    }
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"events", "next"}


@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_a_page_of_large_entries_is_short_and_leads_on(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(entry_store, "PAGE_BYTES", 100_000, raising=False)
    monkeypatch.setattr(entry_store, "PAGE_STEP", 4, raising=False)
    tenant = new_tenant()
    sizes = [30_000] * 10 + [200_000, 1, 1]
    await audit.record([make_event(tenant=tenant, data={"text": "x" * size}) for size in sizes])
    first = await audit.page(tenant, order=order, limit=500)
    assert len(first["events"]) == (3 if order == "asc" else 2)
    found = [entry["sequence"] for entry in await audit.find(tenant, order=order, limit=500)]
    assert found == sorted(range(len(sizes)), reverse=order == "desc")
