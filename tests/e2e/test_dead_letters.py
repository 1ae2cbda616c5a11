"""Dead letters on the whole stack: visible in the API, the metrics and the status, and redriven exactly once."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api, Document, TokenFor
from quartet_testing.command_line import quartet
from quartet_testing.conditions import eventually
from quartet_testing.dead_letters import letter_of, put_message
from quartet_testing.faults import measured
from quartet_testing.services import new_tenant

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

LETTERS = "/audit/rabbitmq/dead-letters"
DEAD = "quartet.audit.dead"


@pytest.fixture
async def platform(stack: Stack, token_for: TokenFor) -> AsyncIterator[Api]:
    """The operator of all tenants."""
    async with Api(stack.url, await token_for("quartet", "events:manage platform:admin audit:read")) as made:
        yield made


def event_of(tenant: str, **changes: Any) -> Document:
    """An event that the audit log takes."""
    facts = {"id": str(uuid4()), "source": "/users", "type": "quartet.users.probe.sent.v1", "subject": "probes/1"}
    facts |= {"specversion": "1.0", "time": datetime.now(UTC).isoformat(), "tenantid": tenant, "actorid": "tester"}
    return {**facts, "sequence": 1, "data": {}, **changes}


async def test_a_poison_message_and_a_schema_error_are_visible_until_they_are_discarded_with_a_copy(
    stack: Stack, platform: Api
) -> None:
    poison = await put_message(stack, "audit", "quartet.audit", b"\xff no event")
    unknown = event_of(new_tenant(), specversion="2.0")
    schema_error = await put_message(stack, "audit", "quartet.audit", json.dumps(unknown).encode())
    letters = [await letter_of(platform, "audit", one) for one in (poison, schema_error)]
    assert letters[0]["tenant"] is None
    assert letters[0]["failure"] == "not a CloudEvents envelope"
    assert (letters[1]["tenant"], letters[1]["type"]) == (unknown["tenantid"], unknown["type"])
    assert letters[1]["reason"] == "CloudEvents version 2.0 is not supported"

    async def is_shown() -> bool:
        assert await measured(stack, "audit-worker", "quartet_queue_messages", queue=DEAD) >= 2
        _, output, _ = await quartet(stack, "status")
        return re.search(rf"dead letters: [0-9]+ in {DEAD} \(audit-worker\)", output) is not None

    await eventually(is_shown, "the dead letters in metrics and status")
    code, output, errors = await quartet(stack, "events", "count")
    assert (code, errors) == (0, "")
    assert "CloudEvents version 2.0 is not supported" in output
    code, output, errors = await quartet(stack, "events", "show", "audit", letters[1]["id"])
    assert (code, json.loads(json.loads(output)["payload"])) == (0, unknown), errors
    chosen = [argument for letter in letters for argument in ("--id", letter["id"])]
    reason = ("--reason", "sent by a test")
    code, output, errors = await quartet(stack, "events", "discard", "audit", *chosen, *reason, "--expected", "3")
    assert code == 1
    assert "2 dead letters meet the conditions, and 3 were expected" in " ".join(errors.split())
    code, output, errors = await quartet(stack, "events", "discard", "audit", *chosen, *reason, "--dry-run")
    assert (code, output.splitlines()[-1]) == (0, "2 dead letters"), errors
    code, output, errors = await quartet(stack, "events", "discard", "audit", *chosen, *reason, "--expected", "2")
    assert (code, output.splitlines()[-1]) == (0, "2 dead letters"), errors
    [entry] = await platform.entries_of(letters[0]["id"], "audit.dead_letter.discarded")
    assert entry["data"]["reason"] == "sent by a test"
    assert entry["data"]["payload"] == "\N{REPLACEMENT CHARACTER} no event"
    assert (await platform.get(f"{LETTERS}/{letters[0]['id']}")).status_code == 404


async def test_what_is_redriven_has_its_effect_exactly_once_and_the_log_names_the_operator(
    stack: Stack, platform: Api, token_for: TokenFor
) -> None:
    tenant = new_tenant()
    events = [event_of(tenant) for _ in range(3)]
    for event in events:
        await letter_of(
            platform, "audit", await put_message(stack, "audit", DEAD, json.dumps(event).encode(), "ValueError: no")
        )
    other = await put_message(stack, "audit", DEAD, json.dumps(event_of(tenant)).encode(), "KeyError: no")
    stays = await letter_of(platform, "audit", other)
    chosen = ("--tenant", tenant, "--failure", "ValueError")
    code, output, errors = await quartet(stack, "events", "redrive", "audit", *chosen, "--dry-run")
    assert (code, output.splitlines()[-1]) == (0, "3 dead letters"), errors
    code, output, errors = await quartet(stack, "events", "redrive", "audit", *chosen, "--expected", "3")
    assert (code, errors) == (0, "")
    assert "3 of 3 sent: redrive " in output
    assert output.rstrip().endswith("is finished")
    code, output, errors = await quartet(stack, "events", "redrive", "audit", *chosen)
    assert code == 1
    assert "No dead letter meets the conditions" in errors
    async with Api(stack.url, await token_for(tenant)) as api:

        async def are_entries() -> bool:
            found = await api.entries(action="users.probe.sent")
            return sorted(one["id"] for one in found) == sorted(event["id"] for event in events)

        await eventually(are_entries, "an entry of each, once")
        listed = (await api.get(LETTERS)).json()["dead_letters"]
        assert [(one["id"], one["redrive"]) for one in listed] == [(stays["id"], None)]
    redrive = (await platform.get("/audit/rabbitmq/redrives")).json()["redrives"][0]
    assert (redrive["status"], redrive["selected"], redrive["sent"], redrive["remaining"]) == ("finished", 3, 3, 0)
    [entry] = await platform.entries_of(redrive["id"], "audit.redrive.created")
    assert (entry["actor"], entry["data"]) == ("quartet-admin", {"selected": 3, "rate": 100})
    rest = {"filter": {"tenant": tenant}, "reason": "sent by a test", "expected": 1}
    assert (await platform.post(f"{LETTERS}/discard", json=rest)).status_code == 200


async def test_a_paused_consumer_is_named_until_it_is_resumed_and_its_events_arrive_once(
    stack: Stack, platform: Api, api: Api
) -> None:
    code, _, errors = await quartet(stack, "events", "pause", "audit", "--reason", "a test")
    assert (code, errors) == (0, "")
    try:

        async def is_shown() -> bool:
            listed = (await platform.get("/audit/rabbitmq/consumers")).json()["consumers"]
            assert [(one["name"], one["paused"]) for one in listed] == [("audit", True), ("audit.revocations", False)]
            assert await measured(stack, "audit-worker", "quartet_consumer_paused", queue="quartet.audit") == 1
            _, output, _ = await quartet(stack, "status")
            return "consumer paused: quartet.audit, paused by quartet-admin since 2" in output

        await eventually(is_shown, "the pause in API, metrics and status")
        user = await api.create_user()
        await api.counted("users.user.created", 1)
        assert await api.entries(resource=user["id"]) == []
    finally:
        code, _, errors = await quartet(stack, "events", "resume", "audit")
        assert (code, errors) == (0, "")
    assert len(await api.entries_of(user["id"], "users.user.created")) == 1
    [entry] = await platform.entries(action="audit.consumer.paused")
    assert entry["data"] == {"consumer": "audit", "reason": "a test"}
    await platform.entries_of("audit", "audit.consumer.resumed")
    refused = await api.post("/audit/rabbitmq/consumers/audit/pause", json={"reason": "not mine"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    unknown = await platform.post("/audit/rabbitmq/consumers/users/resume")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
