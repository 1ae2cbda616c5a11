"""What operators look at: exports, the outbox, queues and dead letters of each service."""

import json
import re
from uuid import uuid4

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api, Document
from quartet_testing.conditions import eventually
from quartet_testing.faults import metrics_text

SERVICES = ("users", "groups", "audit", "metrics")


async def export(api: Api, service: str) -> list[tuple[str, Document]]:
    """Kind and data of each exported row; the stream must have its end line, which counts them."""
    answer = await api.get(f"/{service}/data/export")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    *rows, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end == {"kind": "end", "count": len(rows)}
    return [(row["kind"], row["data"]) for row in rows]


async def test_users_and_groups_are_exported_as_lines_with_an_end(api: Api) -> None:
    user = await api.create_user(displayName="Barbara Jensen", password="never shown at all 1")
    group = await api.create_group([user["id"]])
    users = {row["id"]: row for kind, row in await export(api, "users") if kind == "user"}
    assert users[user["id"]]["resource"]["displayName"] == "Barbara Jensen"
    assert "never shown" not in str(users)
    rows = await export(api, "groups")
    assert group["id"] in [row["id"] for kind, row in rows if kind == "group"]
    assert ("member", {"group": group["id"], "value": user["id"], "type": "User"}) in rows


async def test_the_audit_log_and_the_counts_are_exported(api: Api) -> None:
    user = await api.create_user()
    [entry] = await api.entries_of(user["id"], "users.user.created")
    assert ("entry", entry) in await export(api, "audit")
    await api.entries(action="audit.data.exported")
    await eventually(lambda: api.count("users.user.created"), "the count")
    series = [row for kind, row in await export(api, "metrics") if kind == "series"]
    assert ["users.user.created", "success"] in [row["labels"] for row in series]


async def test_an_export_of_the_audit_log_is_audited(api: Api) -> None:
    before = {entry["id"] for entry in await api.entries(action="audit.data.exported")}
    await export(api, "audit")

    async def noted() -> bool:
        return not before.issuperset(entry["id"] for entry in await api.entries(action="audit.data.exported"))

    await eventually(noted, "the export in the log")


@pytest.mark.parametrize("service", SERVICES)
async def test_each_api_has_metrics_of_what_its_tenants_share(stack: Stack, service: str) -> None:
    text = await metrics_text(stack, f"{service}-api")
    line = r'quartet_shares_(\w+)\{[^}]*resource="([^"]+)"[^}]*} ([0-9.e+]+)'
    found = {(name, resource): float(value) for name, resource, value in re.findall(line, text)}
    for resource, capacity, share in (
        ("database connections", 8, 6),
        ("bytes of exports on disk", 4 * 256 * 1024**2, 256 * 1024**2),
        ("searches without an index", 4, 2),
    ):
        assert (found["capacity", resource], found["per_tenant", resource]) == (capacity, share)
        assert found["refused_total", resource] >= 0


@pytest.mark.parametrize("service", SERVICES)
async def test_the_outbox_runs_empty_by_itself(api: Api, service: str) -> None:
    await api.create_group([(await api.create_user())["id"]])

    async def empty() -> bool:
        state = (await api.get(f"/{service}/rabbitmq/outbox")).json()
        assert state["lag_seconds"] >= 0
        return bool(state["depth"] == 0)

    await eventually(empty, "the outbox to be empty")


@pytest.mark.parametrize("service", SERVICES)
async def test_queues_are_shown_with_their_consumers(api: Api, service: str) -> None:
    queues = {queue["name"]: queue for queue in (await api.get(f"/{service}/rabbitmq/queues")).json()["queues"]}
    main = f"quartet.{service}"
    assert queues[main]["consumers"] >= 1
    assert queues[f"{main}.dead"]["consumers"] == 0
    assert {f"{main}.delay.{seconds}" for seconds in (1, 5, 30, 120, 600)} < queues.keys()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_dead_letter_that_does_not_exist_is_not_redriven(api: Api, service: str) -> None:
    nobodys = {"ids": [str(uuid4())]}
    for path, body in (("redrives", nobodys), ("dead-letters/discard", {**nobodys, "reason": "a test"})):
        answer = await api.post(f"/{service}/rabbitmq/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing_selected")
        shown = await api.post(f"/{service}/rabbitmq/{path}", json={**body, "dry_run": True})
        assert (shown.status_code, shown.json()) == (200, {"total": 0, "counts": []})
    both = await api.post(f"/{service}/rabbitmq/redrives", json={**nobodys, "filter": {}})
    assert (both.status_code, both.json()["code"]) == (400, "bad_body")
    odd = await api.get(f"/{service}/rabbitmq/dead-letters", params={"count": "many"})
    assert (odd.status_code, odd.json()["code"]) == (400, "bad_parameter")
    assert "count" in odd.json()["detail"]
