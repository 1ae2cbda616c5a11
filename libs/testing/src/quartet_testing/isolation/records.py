"""Records apart: the log, counts, exports and dead letters."""

import base64
import json
import time
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import pytest
from yarl import URL

from quartet_testing.client import Api, Document
from quartet_testing.conditions import eventually
from quartet_testing.faults import database
from quartet_testing.isolation.world import World, as_service, clean, missing, newcomer
from quartet_testing.services import direct, new_tenant


async def entries_are_listed_apart(world: World, _: str) -> None:
    queries = [
        {},
        {"resource": world.user["id"]},
        {"actor": world.entry["actor"]},
        {"action": "users.user.*"},
        {"outcome": "success", "order": "asc"},
        {"resource_type": "users"},
        {"address": "0.0.0.0/0"},
        {"trace_id": world.entry["trace_id"] or "0" * 32},
        {"text": world.user["id"]},
    ]
    for query in queries:
        answer = await world.stranger.get("/audit/events", params={**query, "limit": 500})
        assert answer.status_code == 200
        clean(world, answer.text)
    cursor = (await world.owner.get("/audit/events", params={"limit": 1})).json()["next"]
    assert cursor
    answer = await world.stranger.get("/audit/events", params={"limit": 1, "cursor": cursor})
    assert answer.status_code == 400


async def entries_are_counted_apart(world: World, _: str) -> None:
    """The resource is counted for its own tenant only."""
    asked = {"from": "2020-01-01T00:00:00Z", "to": "2040-01-01T00:00:00Z", "interval": "week"}
    for query in ({"resource": world.user["id"]}, {"text": world.user["id"]}):
        clients = world.owner, world.stranger
        answers = [(await one.get("/audit/histogram", params={**asked, **query})).json() for one in clients]
        assert [bool(answer["buckets"]) for answer in answers] == [True, False]


async def an_entry_is_not_read(world: World, _: str) -> None:
    assert (await world.owner.get(f"/audit/events/{world.entry['id']}")).status_code == 200
    missing(await world.stranger.get(f"/audit/events/{world.entry['id']}"))


async def an_entry_is_not_proven(world: World, _: str) -> None:
    for suffix in ("", ".tlog-proof"):
        path = f"/audit/events/{world.entry['id']}/proof{suffix}"
        assert (await world.owner.get(path, params={"wait": 10})).status_code == 200
        missing(await world.stranger.get(path))


async def a_log_is_not_read(world: World, _: str) -> None:
    await world.owner.get(f"/audit/events/{world.entry['id']}/proof", params={"wait": 10})
    for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1", "consistency?from=0&to=1", "keys"):
        assert (await world.owner.get(f"/audit/log/{world.tenant}/{path}")).status_code == 200
        missing(await world.stranger.get(f"/audit/log/{world.tenant}/{path}"))
    deployment = await world.stranger.get("/audit/log/tile/entries/000.p/1")
    clean(world, deployment.content.decode("latin-1"))


async def erasures_leave_others_alone(world: World, _: str) -> None:
    """Another tenant erases the user of this one, and nothing of it is gone."""
    answer = await world.stranger.post("/audit/erasures", json={"user": world.user["id"]})
    path = f"/audit/erasures/{answer.json()['id']}"

    async def completed() -> bool:
        return (await world.stranger.get(path)).json()["completed_time"] is not None

    await eventually(completed, "the erasure")
    entries = await world.owner.entries_of(world.user["id"], "users.user.created")
    assert [entry["data"]["userName"] for entry in entries] == [world.user["userName"]]


async def an_erasure_is_not_read(world: World, _: str) -> None:
    answer = await world.owner.post("/audit/erasures", json={"user": str(uuid4())})
    path = f"/audit/erasures/{answer.json()['id']}"
    assert (await world.owner.get(path)).status_code == 200
    missing(await world.stranger.get(path))


PROMETHEUS_ROUTES = (
    "query", "query_by_form", "query_range", "query_range_by_form", "series", "series_by_form", "labels",
    "labels_by_form", "label_values",
)  # fmt: skip
MARKED = "marked-7f3a"
"""The value of a label of the owner's series."""
STREAM_ROUTES = ("read", "change", "delete", "pause", "resume", "replay")
STREAM = {"name": "SIEM", "destination": {"type": "webhook", "url": "https://127.0.0.1:9/"}}
"""A stream to a port where nobody listens."""


async def streams_are_apart(world: World, _: str) -> None:
    body = {**STREAM, "name": world.user["userName"], "filters": {"actor": "nobody"}}
    made = await world.owner.post("/audit/streams", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["id"] in (await world.owner.get("/audit/streams")).text
    clean(world, (await world.stranger.get("/audit/streams")).text)
    assert (await world.owner.delete(f"/audit/streams/{made.json()['id']}")).status_code == 204


async def a_stream_is_not_touched(world: World, _: str) -> None:
    made = await world.owner.post("/audit/streams", json={**STREAM, "filters": {"actor": "nobody"}})
    path = f"/audit/streams/{made.json()['id']}"
    missing(await world.stranger.get(path))
    missing(await world.stranger.patch(path, json={"name": "x"}))
    missing(await world.stranger.delete(path))
    for action, body in (("pause", None), ("resume", None), ("replay", {"from": 0})):
        missing(await world.stranger.post(f"{path}/{action}", json=body))
    state = (await world.owner.get(path)).json()
    assert (state["name"], state["paused"]) == ("SIEM", None)
    assert (await world.owner.delete(path)).status_code == 204


async def tails_are_apart(world: World, _: str) -> None:
    """The log of the stranger has something of its own; what it follows has nothing of the owner."""
    made = await world.stranger.create_user()
    await world.stranger.entries_of(made["id"], "users.user.created")
    text = ""
    async with world.stranger.stream("GET", "/audit/events/live", headers={"Last-Event-ID": "0"}) as answer:
        assert answer.status_code == 200
        other = await world.stranger.create_user()
        async for line in answer.aiter_lines():
            text += line
            if other["id"] in line:
                break
    clean(world, text)


async def retentions_are_apart(world: World, _: str) -> None:
    async with newcomer(world) as other:
        assert (await other.put("/audit/retention", json={"days": 365})).status_code == 200
        assert (await other.get("/audit/retention")).json()["days"] == 365
    for client in (world.owner, world.stranger):
        assert (await client.get("/audit/retention")).json()["days"] is None


async def legal_holds_are_apart(world: World, _: str) -> None:
    reason = f"Case {world.user['id']}"
    assert (await world.owner.put("/audit/legal-hold", json={"reason": reason})).status_code == 200
    missing(await world.stranger.get("/audit/legal-hold"))
    missing(await world.stranger.delete("/audit/legal-hold"))
    assert (await world.owner.get("/audit/legal-hold")).json()["reason"] == reason
    for client in (world.owner, world.stranger):
        answers = [await client.get("/audit/legal-holds"), await client.delete("/audit/legal-holds/of-nobody")]
        assert {answer.status_code for answer in answers} == {403}
    assert (await world.owner.delete("/audit/legal-hold")).status_code == 204


async def events_of_applications_are_apart(world: World, _: str) -> None:
    event = {"specversion": "1.0", "id": uuid4().hex, "source": "/shop", "type": "com.example.order.paid"}
    headers = {"Content-Type": "application/cloudevents+json"}
    ids = []
    for client in (world.owner, world.stranger):
        answer = (await client.post("/audit/events", json=event, headers=headers)).json()
        assert answer["accepted"] == 1, "the same source and id is another event in another tenant"
        ids += [one["event"] for one in answer["events"]]
    assert ids[0] != ids[1]
    await eventually(lambda: _entries(world.owner, ids[0]), "the entry")
    missing(await world.stranger.get(f"/audit/events/{ids[0]}"))


async def _entries(client: Api, event: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/audit/events/{event}")
    return [answer.json()] if answer.status_code == 200 else []


async def counts_are_apart(world: World, _: str) -> None:
    assert await world.owner.count("groups.group.created") == 1
    async with newcomer(world) as third:
        await third.create_user()
        await third.counted("users.user.created", 1)
        answer = await third.get("/metrics/query", params={"metric": "events", "by": "type"})
        assert not [series["key"] for series in answer.json()["series"] if series["key"].startswith("groups.")]


async def series_are_apart(world: World, _: str) -> None:
    """Every way to ask, with a selector of all series and one that names the owner."""
    if "victoria-metrics" not in world.stack.programs:
        pytest.skip("victoria-metrics is not installed")
    environment = world.stack.environment("metrics", "api")
    secret = (world.stack.home.secrets / "metrics/quartet_metrics_engine_password").read_text()
    sample = f'isolated_total{{tenant="{world.tenant}",secret="{MARKED}"}} 7'
    async with httpx.AsyncClient(auth=("quartet", secret), trust_env=False) as engine:
        url = f"{environment['QUARTET_METRICS_ENGINE_URL']}/api/v1/import/prometheus"
        assert (await engine.post(url, content=sample)).is_success
    api = "/metrics/prometheus/api/v1"

    async def seen() -> bool:
        return MARKED in (await world.owner.get(f"{api}/query", params={"query": "isolated_total"})).text

    await eventually(seen, "the owner's series")
    for selector in ('{__name__!=""}', f'{{tenant="{world.tenant}"}}', "isolated_total"):
        now = str(int(time.time()))
        for path, given in (
            ("query", {"query": selector}),
            ("query_range", {"query": selector, "start": now, "end": now, "step": "1"}),
            ("series", {"match[]": selector}),
            ("labels", {"match[]": selector}),
        ):
            for answer in (
                await world.stranger.get(f"{api}/{path}", params=given),
                await world.stranger.post(f"{api}/{path}", data=given),
            ):
                assert answer.status_code == 200, answer.text
                assert "secret" not in answer.text
                assert MARKED not in answer.text
        for name in ("secret", "__name__", "tenant"):
            answer = await world.stranger.get(f"{api}/label/{name}/values", params={"match[]": selector})
            assert not {MARKED, "isolated_total", world.tenant} & set(answer.json()["data"])


async def points_are_apart(world: World, _: str) -> None:
    """A stranger cannot write into the owner's series, with its own name for the tenant or the owner's. The owner does
    not see the metadata either.
    """
    if "victoria-metrics" not in world.stack.programs:
        pytest.skip("victoria-metrics is not installed")
    now, api = str(time.time_ns()), "/metrics/prometheus/api/v1"
    points = [
        {"asInt": "9", "timeUnixNano": now, "attributes": [{"key": key, "value": {"stringValue": world.tenant}}]}
        for key in ("tenant", "Tenant", "__tenant__", "other")
    ]
    scopes = [{"metrics": [{"name": "foreign", "description": MARKED, "gauge": {"dataPoints": points}}]}]
    sent = await world.stranger.post("/metrics/otlp/v1/metrics", json={"resourceMetrics": [{"scopeMetrics": scopes}]})
    assert (sent.status_code, sent.json()["partialSuccess"]["rejectedDataPoints"]) == (200, "2"), sent.text

    async def seen() -> bool:
        answer = await world.stranger.get(f"{api}/query", params={"query": "count(foreign)"})
        return bool(answer.json()["data"]["result"])

    await eventually(seen, "the stranger's own series", 30)
    answer = await world.owner.get(f"{api}/series", params={"match[]": "foreign"})
    assert answer.json()["data"] == []

    async def described() -> bool:
        return MARKED in (await world.stranger.get(f"{api}/metadata", params={"metric": "foreign"})).text

    await eventually(described, "the stranger's metadata", 30)
    for given in ({}, {"metric": "foreign"}):
        answer = await world.owner.get(f"{api}/metadata", params=given)
        assert (answer.status_code, MARKED in answer.text, "foreign" in answer.text) == (200, False, False)


ALERT_ROUTES = ("list_", "dry_run", "create", "list_rules", "read", "replace", "delete")
ALERT_RULE = {"name": "Marked", "expr": "vector(7)", "labels": {"secret": MARKED}}


async def alerts_are_apart(world: World, _: str) -> None:
    """The owner has a rule, and its alert; another tenant finds neither, and cannot change them."""
    if "victoria-metrics" not in world.stack.programs:
        pytest.skip("victoria-metrics is not installed")
    made = await world.owner.post("/metrics/alerts/rules", json={**ALERT_RULE, "name": f"Marked {uuid4()}"})
    assert made.status_code == 201, made.text
    path = f"/metrics/alerts/rules/{made.json()['id']}"

    async def fires() -> bool:
        return made.json()["id"] in (await world.owner.get("/metrics/alerts")).text

    await eventually(fires, "the owner's alert", 30)
    for address in ("/metrics/alerts", "/metrics/alerts/rules"):
        assert MARKED in (await world.owner.get(address)).text
        found = await world.stranger.get(address)
        assert (found.status_code, MARKED in found.text) == (200, False)
    missing(await world.stranger.get(path))
    missing(await world.stranger.put(path, json=ALERT_RULE))
    missing(await world.stranger.delete(path))
    foreign = {"name": "x", "expr": f'count({{tenant="{world.tenant}"}})'}
    assert (await world.owner.post("/metrics/alerts/rules/dry-run", json=foreign)).json()["alerts"]
    tried = await world.stranger.post("/metrics/alerts/rules/dry-run", json=foreign)
    assert (tried.status_code, tried.json()) == (200, {"alerts": []})
    assert (await world.owner.get(path)).json()["rule"] == made.json()["rule"]
    assert (await world.owner.delete(path)).status_code == 204


async def exports_are_apart(world: World, service: str) -> None:
    answer = await world.stranger.get(f"/{service}/data/export")
    assert answer.status_code == 200
    clean(world, answer.text)
    if service == "metrics":  # numbers of all tenants look alike
        async with newcomer(world) as third:
            await third.create_user()
            await third.counted("users.user.created", 1)
            lines = (await third.get("/metrics/data/export")).text.splitlines()
        rows = [one["data"] for line in lines[:-1] if (one := json.loads(line))["kind"] == "series"]
        counts = {one["labels"][0]: one["total"] for one in rows if one["metric"] == "quartet_events_total"}
        assert counts["users.user.created"] == 1
        assert not [action for action in counts if action.startswith("groups.")]


async def log_exports_are_apart(world: World, _: str) -> None:
    """An export of the log of another tenant has nothing of this one, in base64 or not."""
    for lines in ("/audit/export?format=ndjson", "/audit/export?format=csv", "/audit/export?format=ocsf"):
        own, answer = (await world.owner.get(lines)).text, await world.stranger.get(lines)
        assert answer.status_code == 200
        assert world.entry["id"] in own
        clean(world, answer.text)
    await world.owner.get(f"/audit/events/{world.entry['id']}/proof", params={"wait": 10})
    path = "/audit/export?format=bundle"
    own, answer = (await world.owner.get(path)).text, await world.stranger.get(path)
    assert answer.status_code == 200
    assert world.entry["id"] in contents_of_bundle(own)
    clean(world, answer.text + contents_of_bundle(answer.text))


def contents_of_bundle(bundle: str) -> str:
    """The parts of all entries of a bundle, decoded."""
    parts = [part for line in bundle.splitlines() for part in json.loads(line).get("parts", {}).values()]
    return "".join(base64.b64decode(part["bytes"]).decode() for part in parts if "bytes" in part)


async def dead_letters_are_apart(world: World, service: str) -> None:
    path = f"/{service}/rabbitmq/dead-letters"
    letter = await put_dead_letter(world, service)
    shown = (await world.owner.get(f"{path}/{letter['id']}")).json()
    assert shown["message_id"] == letter["message_id"]
    assert world.user["id"] in shown["payload"]
    assert (await world.stranger.get(f"{path}/{letter['id']}")).status_code == 404
    assert (await world.owner.get(f"{path}/counts")).json()["total"] > 0
    for query in ({}, {"tenant": world.tenant}):
        assert (await world.stranger.get(path, params=query)).json() == {"dead_letters": [], "next": None}
        assert (await world.stranger.get(f"{path}/counts", params=query)).json() == {"total": 0, "counts": []}


async def dead_letters_are_redriven_apart(world: World, service: str) -> None:
    path = f"/{service}/rabbitmq/redrives"
    letter = await put_dead_letter(world, service)
    for chosen in ways_to_choose(world, letter):
        assert (await world.stranger.post(path, json={**chosen, "dry_run": True})).json() == {"total": 0, "counts": []}
        assert (await world.stranger.post(path, json=chosen)).json()["code"] == "nothing_selected"
    made = await world.owner.post(path, json={"ids": [letter["id"]], "rate": 1})
    assert made.status_code == 202, made.text
    one = f"{path}/{made.json()['id']}"
    assert made.headers["Location"] == one
    assert (await world.owner.get(one)).json()["selected"] == 1
    assert (await world.stranger.get(one)).status_code == 404
    assert (await world.stranger.post(f"{one}/cancel")).status_code == 404
    assert (await world.stranger.get(path)).json() == {"redrives": [], "next": None}
    assert one.rpartition("/")[2] in [each["id"] for each in (await world.owner.get(path)).json()["redrives"]]
    assert (await world.owner.post(f"{one}/cancel")).status_code == 200


def ways_to_choose(world: World, letter: Document) -> list[Document]:
    """Bodies that choose a dead letter of the owner."""
    return [{"filter": {}}, {"filter": {"tenant": world.tenant}}, {"ids": [letter["id"]]}]


async def dead_letters_are_discarded_apart(world: World, service: str) -> None:
    path = f"/{service}/rabbitmq/dead-letters/discard"
    letter = await put_dead_letter(world, service)
    for chosen in ways_to_choose(world, letter):
        refused = await world.stranger.post(path, json={**chosen, "reason": "not mine"})
        assert (refused.status_code, refused.json()["code"]) == (409, "nothing_selected")
    discarded = await world.owner.post(path, json={"ids": [letter["id"]], "reason": "a test"})
    assert discarded.json()["total"] == 1


async def events_are_replayed_apart(world: World, service: str) -> None:
    path, since = f"/{service}/rabbitmq/replay", {"since": "2026-01-01T00:00:00Z"}
    before = await kept_events(world, service)
    assert (await world.stranger.post(path, params=since)).status_code == 200
    assert before <= await kept_events(world, service)  # replaying moves an event, so it has another number then
    assert (await world.owner.post(path, params=since)).json()["replayed"] >= len(before)
    assert not before & await kept_events(world, service)


async def kept_events(world: World, service: str) -> set[int]:
    """The numbers of the owner's events in the journal of `service`."""
    async with database(world.stack, service) as connection:
        rows = await connection.fetch("SELECT id FROM published_events WHERE tenant_id = $1", world.tenant)
    return {row["id"] for row in rows}


async def put_dead_letter(world: World, service: str) -> Document:
    """Put an event of the owner where it ends when it fails too often; returns the dead letter, once it is stored."""
    message_id = str(uuid4())
    event = {
        "specversion": "1.0",
        "id": message_id,
        "source": "/users",
        "type": "quartet.users.probe.sent.v1",
        "subject": f"users/{world.user['id']}",
        "time": world.entry["time"],
        "tenantid": world.tenant,
        "actorid": "tester",
        "sequence": 1,
        "data": {},
    }
    environment = world.stack.environment(service, "worker")
    password = (world.stack.home.secrets / service / "quartet_broker_password").read_text().strip()
    async with await aio_pika.connect(URL(environment["QUARTET_BROKER_URL"]).with_password(password)) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(json.dumps(event).encode(), message_id=message_id, type=event["type"])
        await channel.default_exchange.publish(message, f"quartet.{service}.dead")

    async def is_stored() -> Document | None:
        found = (await world.owner.get(f"/{service}/rabbitmq/dead-letters")).json()["dead_letters"]
        return next((one for one in found if one["message_id"] == message_id), None)

    return await eventually(is_stored, "the dead letter in the list of its tenant")


async def totals_are_apart(world: World, service: str) -> None:
    """Metrics reads totals of the tenant that it names, nobody else reads any."""
    url = direct(world.stack, f"/{service}/totals")
    body = {"since": "2026-01-31T09:00:00Z", "applied": []}
    assert (await world.owner.post(url, json=body)).status_code == 403
    async with as_service(world, "metrics") as metrics:
        for tenant, has_some in ((world.tenant, True), (new_tenant(), False)):
            answer = (await metrics.post(url, json=body, headers={"Quartet-Tenant": tenant})).json()
            assert any(one["value"] for one in answer["totals"]) is has_some
            assert {event["tenantid"] for event in answer["events"]} <= {tenant}
        assert (await metrics.post(url, json=body)).status_code == 400
