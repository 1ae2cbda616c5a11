"""Events of applications over HTTP: what is accepted is in the outbox once, in whatever form it is sent."""

import asyncio
import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from quartet_audit.applications import application_event_store, application_event_usecases
from quartet_audit.applications.application_event_domain import MAX_BYTES, keyed, read_event
from quartet_audit.applications.application_event_store import RETENTION
from quartet_audit.applications.application_event_usecases import key_digests, pruning
from quartet_audit.entries.digest_domain import recorded_id
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_common.core.clock import utc_now
from quartet_common.messaging.envelope import Event
from quartet_testing.services import new_tenant

PATH = "/audit/events"
ONE, MANY = "application/cloudevents+json", "application/cloudevents-batch+json"
REMAINING = "SELECT count(*) FROM application_events WHERE tenant_id = $1"
INDEX_METHOD = """
SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam
WHERE pg_class.oid = 'application_events_received_at'::regclass"""
Answer = tuple[int, dict[str, Any]]


@pytest.fixture
def tenant() -> str:
    return new_tenant()


def event(**changes: Any) -> dict[str, Any]:
    """An event of an application, with an id of its own."""
    return {"specversion": "1.0", "id": uuid4().hex, "source": "/shop", "type": "com.example.order.paid", **changes}


async def send(audit: Any, tenant: str, body: Any, content_type: str = ONE, **headers: str) -> Answer:
    """Status and JSON of the answer to a client of the tenant."""
    who = audit.tokens.headers(tenant, ["audit:write"], "acme.shop", client_name="Shop")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {**who, "Content-Type": content_type, "User-Agent": "shop/3.1", **headers}
    response = await audit.client.post(PATH, data=content, headers=sent)
    return response.status_code, await response.get_json(force=True)


async def key_of(audit: Any, tenant: str) -> bytes:
    """The key of the digests of a tenant that has sent an event."""
    async with audit.container.database.transaction() as connection:
        return await DigestKeys(audit.container.config.master_key.get_secret_value()).require(connection, tenant)


async def published(audit: Any, tenant: str) -> list[Event]:
    found: list[Event] = await audit.service.outbox(tenant)
    return found


async def test_one_event_is_published_in_the_name_of_the_client_that_sent_it(audit: Any, tenant: str) -> None:
    given = event(subject="orders/7", time="2026-01-31T09:00:00Z", data={"by": "bj"})
    status, answer = await send(audit, tenant, given)
    [one] = await published(audit, tenant)
    assert (status, answer) == (
        202,
        {"accepted": 1, "duplicates": 0, "refused": 0, "events": [{"status": "accepted", "event": str(one.id)}]},
    )
    assert (one.type, one.source) == ("quartet.app.com.example.order.paid.v1", "/audit")
    assert one.subject == f"orders/{recorded_id('7', await key_of(audit, tenant))}"
    assert (one.actorid, one.actorname, one.actortype, one.useragent) == ("acme.shop", "Shop", "client", "shop/3.1")
    assert one.time.isoformat() == "2026-01-31T09:00:00+00:00"
    assert one.data == given


async def test_each_event_of_a_batch_is_accepted_or_refused_for_itself(audit: Any, tenant: str) -> None:
    twice = event()
    batch = [event(), {"id": "x"}, twice, 7, event(time="2999-01-01T00:00:00Z"), twice, event(data="x" * MAX_BYTES)]
    status, answer = await send(audit, tenant, batch, MANY)
    assert status == 202
    assert [one["status"] for one in answer["events"]] == [
        "accepted", "refused", "accepted", "refused", "refused", "duplicate", "refused",
    ]  # fmt: skip
    assert [answer[name] for name in ("accepted", "duplicates", "refused")] == [2, 1, 4]
    ids = [one["event"] for one in answer["events"] if one["status"] == "accepted"]
    assert ids == [str(one.id) for one in await published(audit, tenant)]
    assert answer["events"][5]["event"] == ids[1]
    reasons = [one["reason"] for one in answer["events"] if one["status"] == "refused"]
    assert [reason.split()[0] for reason in reasons] == ["specversion", "The", "time", "The"]


async def test_what_is_sent_again_is_no_second_event_and_has_the_same_id(audit: Any, tenant: str) -> None:
    given = event()
    _, first = await send(audit, tenant, given)
    status, again = await send(audit, tenant, [given, event()], MANY)
    assert (status, [one["status"] for one in again["events"]]) == (202, ["duplicate", "accepted"])
    assert again["events"][0]["event"] == first["events"][0]["event"]
    assert len(await published(audit, tenant)) == 2
    assert (await send(audit, new_tenant(), given))[1]["accepted"] == 1


async def test_an_event_that_many_send_at_once_is_accepted_once(audit: Any, tenant: str) -> None:
    batch = [event() for _ in range(20)]
    answers = await asyncio.gather(*(send(audit, tenant, batch[:: 1 - 2 * (turn % 2)], MANY) for turn in range(6)))
    assert {status for status, _ in answers} == {202}
    assert sum(answer["accepted"] for _, answer in answers) == 20
    assert len(await published(audit, tenant)) == 20
    for turn, (_, answer) in enumerate(answers):
        ids = [one["event"] for one in answer["events"]]
        assert ids[:: 1 - 2 * (turn % 2)] == [one["event"] for one in answers[0][1]["events"]]


async def test_the_attributes_may_be_headers_and_the_body_the_data(audit: Any, tenant: str) -> None:
    attributes = {f"ce-{name}": value for name, value in event(subject="orders/%C3%A9%201").items()}
    bodies = [
        (b'{"a": [1]}', "application/json", {"data": {"a": [1]}}),
        (b'{"a": 1}', "application/vnd.shop+json; charset=utf-8", {"data": {"a": 1}}),
        ("é".encode(), "text/plain", {"data": "é"}),
        (b"\xff\x00", "application/octet-stream", {"data_base64": "/wA="}),
        (b"", "application/json", {}),
    ]
    for number, (body, content_type, _) in enumerate(bodies):
        status, answer = await send(audit, tenant, body, content_type, **{**attributes, "ce-id": str(number)})
        assert (status, answer["accepted"]) == (202, 1), answer
    found = await published(audit, tenant)
    assert {one.data["subject"] for one in found} == {"orders/é 1"}
    for one, (_, content_type, data) in zip(found, bodies, strict=True):
        assert one.data["datacontenttype"] == content_type
        assert {name: one.data[name] for name in ("data", "data_base64") if name in one.data} == data


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "code"),
    [
        (event(id=None), ONE, {}, 400, "event_refused"),
        (b"{}", "application/json", {"ce-id": "1"}, 400, "event_refused"),
        (b"{", "application/json", {"ce-id": "1", "ce-specversion": "1.0"}, 400, "event_refused"),
        (b"{}", "application/json", {"ce-data": "1"}, 400, "event_refused"),
        (event(), "application/json", {}, 415, "unsupported_media_type"),
        (event(), "application/cloudevents+avro", {"ce-id": "1"}, 415, "unsupported_media_type"),
        (event(data="x" * MAX_BYTES), ONE, {}, 413, "request_entity_too_large"),
        (b"[]", MANY, {}, 400, "bad_body"),
        (b"{}", MANY, {}, 400, "bad_body"),
        (b"[1", MANY, {}, 400, "bad_body"),
        ([1] * 1001, MANY, {}, 400, "bad_body"),
    ],
)
async def test_a_request_without_an_event_that_could_be_accepted_is_refused(
    audit: Any, tenant: str, body: Any, content_type: str, headers: dict[str, str], status: int, code: str
) -> None:
    answered, problem = await send(audit, tenant, body, content_type, **headers)
    assert (answered, problem["code"]) == (status, code), problem
    assert await published(audit, tenant) == []


async def test_a_thousand_events_are_one_request(audit: Any, tenant: str) -> None:
    status, answer = await send(audit, tenant, [event(data="x" * 1000) for _ in range(1000)], MANY)
    assert (status, answer["accepted"]) == (202, 1000)
    assert [one["event"] for one in answer["events"]] == [str(one.id) for one in await published(audit, tenant)]


async def test_the_scope_is_needed(audit: Any, tenant: str) -> None:
    headers = {**audit.tokens.headers(tenant, ["audit:read"]), "Content-Type": ONE}
    assert (await audit.client.post(PATH, data=json.dumps(event()), headers=headers)).status_code == 403


async def test_a_tenant_whose_events_are_not_published_in_time_waits(
    audit: Any, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_event_usecases, "MAX_WAITING", 3)
    assert (await send(audit, tenant, [event() for _ in range(3)], MANY))[0] == 202
    given = event()
    assert (await send(audit, tenant, given))[0] == 429
    assert (await send(audit, new_tenant(), event()))[0] == 202
    monkeypatch.setattr(application_event_usecases, "MAX_WAITING", 4)
    assert (await send(audit, tenant, given))[1]["accepted"] == 1, "what was refused was not noted as accepted"


async def test_what_was_accepted_is_forgotten_after_its_retention(audit: Any, tenant: str) -> None:
    old, recent = event(), event()
    await send(audit, tenant, [old, recent], MANY)
    async with audit.owner.database.connection() as connection:
        await connection.execute(
            "UPDATE application_events SET received_at = now() - $2::interval WHERE tenant_id = $1 AND event_id = $3",
            tenant,
            RETENTION + timedelta(minutes=1),
            (await published(audit, tenant))[0].id,
        )
    await pruning(audit.container).action()
    _, answer = await send(audit, tenant, [old, recent], MANY)
    assert [one["status"] for one in answer["events"]] == ["accepted", "duplicate"]


async def test_old_ones_are_found_by_an_index_and_forgotten_a_batch_at_a_time(
    audit: Any, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_event_store, "PRUNED", 3, raising=False)
    await send(audit, tenant, [event() for _ in range(8)], MANY)
    async with audit.owner.database.connection() as connection:
        await connection.execute(
            "UPDATE application_events SET received_at = now() - $2::interval WHERE tenant_id = $1",
            tenant,
            RETENTION + timedelta(minutes=1),
        )
        assert await application_event_store.prune(connection) == 3
        assert await connection.fetchval(REMAINING, tenant) == 5
        await pruning(audit.container).action()
        assert await connection.fetchval(REMAINING, tenant) == 0
        assert await connection.fetchval(INDEX_METHOD) == "btree", "BRIN finds nothing once pages are used again"


async def test_what_a_subject_says_is_in_no_part_that_stays_after_an_erasure(audit: Any, tenant: str) -> None:
    await send(audit, tenant, event(subject="customers/bjensen@example.com"))
    [one] = await published(audit, tenant)
    await audit.record([one])
    async with audit.container.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT resource_id, convert_from(facts, 'UTF8') AS facts FROM entries WHERE tenant_id = $1", tenant
        )
    assert "bjensen" not in row["resource_id"] + row["facts"]
    guessed = hashlib.sha256(b"bjensen@example.com").hexdigest()
    assert guessed not in row["resource_id"] + row["facts"]
    [entry] = await audit.find(tenant, resource="bjensen@example.com")
    assert (entry["resource"]["type"], entry["data"]["subject"]) == ("customers", "customers/bjensen@example.com")


async def test_each_tenant_has_a_key_of_its_own_that_is_stored_encrypted(audit: Any, tenant: str) -> None:
    tenants = [tenant, new_tenant()]
    for one in tenants:
        await send(audit, one, event(subject="customers/bjensen"))
    subjects = [(await published(audit, one))[0].subject for one in tenants]
    keys = [await key_of(audit, one) for one in tenants]
    assert subjects == [f"customers/{recorded_id('bjensen', key)}" for key in keys]
    assert len({*subjects, *keys}) == 4
    async with audit.container.database.connection() as connection:
        stored = await connection.fetchval("SELECT key FROM digest_keys WHERE tenant_id = $1", tenant)
    assert keys[0].hex() not in stored
    assert stored.startswith("eyJ")


async def test_an_event_that_was_accepted_before_digests_had_keys_is_known_and_gets_one(
    audit: Any, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_event_store, "PRUNED", 2)
    given = [event() for _ in range(5)]
    events = [read_event(json.dumps(one).encode(), utc_now()) for one in given]
    ids = [uuid4() for _ in given]
    async with audit.container.database.transaction() as connection:
        await connection.executemany(
            "INSERT INTO application_events (tenant_id, digest, event_id) VALUES ($1, $2, $3)",
            [(tenant, one.digest, identifier) for one, identifier in zip(events, ids, strict=True)],
        )
    for _ in range(2):
        _, answer = await send(audit, tenant, [*given, event()], MANY)
        assert [one["status"] for one in answer["events"]] == ["duplicate"] * 5 + ["accepted"]
        assert [one["event"] for one in answer["events"][:5]] == [str(one) for one in ids]
        await key_digests(audit.container)
    key = await key_of(audit, tenant)
    async with audit.container.database.connection() as connection:
        rows = await connection.fetch("SELECT digest FROM application_events WHERE tenant_id = $1", tenant)
    digests = {row["digest"] for row in rows}
    assert {keyed(one.digest, key) for one in events} < digests
    assert not {one.digest for one in events} & digests
