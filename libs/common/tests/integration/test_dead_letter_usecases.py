"""Dead letters are discarded with a reason and a copy in the audit log; the events of commands match their schemas."""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import NIL_ID, new_id
from quartet_common.messaging import dead_letter_store
from quartet_common.messaging.dead_letter_events import MAX_PAYLOAD
from quartet_common.messaging.dead_letter_store import Count, NewDeadLetter, Selection
from quartet_common.messaging.redrive import RedriveSender
from quartet_common.runtime import dead_letter_usecases
from quartet_common.runtime.dead_letter_usecases import (
    NothingSelectedError,
    SelectionChangedError,
    TooManySelectedError,
    cancel_redrive,
    create_redrive,
    discard,
    preview,
)
from quartet_testing.conditions import eventually
from quartet_testing.messaging import Channel, Container
from quartet_testing.services import new_tenant

OPERATOR = Caller("quartet", "operator", actor_name="ops")


async def bury(container: Container, tenant: str, body: bytes = b'{"a":1}', kind: str = "quartet.x.y.z.v1") -> None:
    """Store a dead letter."""
    letter_id = new_id()
    facts = (tenant, letter_id, "common", letter_id.bytes, "the-id", kind, None, None, "ValueError: no", "ValueError")
    async with container.database.transaction() as connection:
        await dead_letter_store.insert(connection, [NewDeadLetter(*facts, 6, 0, None, "{}", body)])


async def left(container: Container) -> int:
    async with container.database.connection() as connection:
        return len(await dead_letter_store.list_letters(connection, None, Selection(), NIL_ID, 1000))


async def published(container: Container) -> list[Mapping[str, Any]]:
    """The events in the outbox, each as its schema says."""
    async with container.database.connection() as connection:
        rows = await connection.fetch("SELECT event FROM outbox ORDER BY id")
    events = [json.loads(row["event"]) for row in rows]
    for event in events:
        name = event["type"].removeprefix("quartet.common.")
        schema = json.loads((files("quartet_common") / "schemas" / f"{name}.json").read_text())
        Draft202012Validator({**schema, "additionalProperties": False}).validate(event["data"])
    return events


async def test_what_is_discarded_leaves_a_copy_in_the_log_of_its_tenant(container: Container, channel: Channel) -> None:
    one = new_tenant()
    long = b"\xff" + b"x" * MAX_PAYLOAD
    await bury(container, one, b'{"name":"Barbara"}')
    await bury(container, "", long)
    assert await preview(container, None, Selection()) == [Count("quartet.x.y.z.v1", "ValueError", 2)]
    found = await discard(container, OPERATOR, None, Selection(), "applied by hand", 2)
    assert found == [Count("quartet.x.y.z.v1", "ValueError", 2)]
    first, second = await published(container)
    assert (first["tenantid"], first["actorid"], first["actorname"]) == (one, "operator", "ops")
    assert (first["data"]["reason"], first["data"]["payload"]) == ("applied by hand", '{"name":"Barbara"}')
    assert (second["tenantid"], second["data"]["bytes"]) == ("quartet", len(long))
    assert second["data"]["sha256"] == hashlib.sha256(long).hexdigest()
    assert second["data"]["payload"] == "\N{REPLACEMENT CHARACTER}" + "x" * (MAX_PAYLOAD - 1)
    assert await left(container) == 0


async def test_nothing_is_discarded_unless_it_is_what_was_shown_and_no_redrive_has_it(
    container: Container, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = new_tenant(), new_tenant()
    for tenant in (one, one, other):
        await bury(container, tenant)
    with pytest.raises(SelectionChangedError, match="2 dead letters meet the conditions, and 1 were expected"):
        await discard(container, OPERATOR, one, Selection(), "no", 1)
    monkeypatch.setattr(dead_letter_usecases, "MAX_DISCARDED", 1)
    with pytest.raises(TooManySelectedError, match="one request takes at most 1"):
        await discard(container, OPERATOR, one, Selection(), "no", None)
    await create_redrive(container, OPERATOR, one, Selection(), 1, None)
    with pytest.raises(NothingSelectedError):
        await discard(container, OPERATOR, one, Selection(), "no", None)
    assert await left(container) == 3
    assert [event["type"] for event in await published(container)] == ["quartet.common.redrive.created.v1"]


async def test_the_events_of_redrives_match_their_schemas(container: Container, channel: Channel) -> None:
    tenant = new_tenant()
    sender = RedriveSender("common", container.broker, lambda: container.database, container.clock)
    await bury(container, tenant)
    operator = Caller(tenant, "operator")
    await create_redrive(container, operator, tenant, Selection(), 500, 1)

    async def ended() -> bool:
        await sender.run()
        return len(await published(container)) == 2

    await eventually(ended, "the redrive to end")
    await bury(container, tenant)
    second = await create_redrive(container, operator, tenant, Selection(), 1, 1)
    await cancel_redrive(container, operator, tenant, second.id)
    events = [(event["type"].split(".")[3], event["data"]) for event in await published(container)]
    assert events == [
        ("created", {"selected": 1, "rate": 500}),
        ("finished", {"selected": 1, "sent": 1}),
        ("created", {"selected": 1, "rate": 1}),
        ("cancelled", {"selected": 1, "sent": 0, "left": 1}),
    ]


@pytest.mark.parametrize(
    ("selection", "number"),
    [
        (Selection(), 3),
        (Selection(type="quartet.a.b.c.v1"), 1),
        (Selection(failure="KeyError"), 0),
        (Selection(tenant="nobody"), 0),
        (Selection(ids=[NIL_ID]), 0),
    ],
)
async def test_dead_letters_are_counted_by_each_filter(
    container: Container, channel: Channel, selection: Selection, number: int
) -> None:
    tenant = new_tenant()
    for kind in ("quartet.a.b.c.v1", "quartet.x.y.z.v1", "quartet.x.y.z.v1"):
        await bury(container, tenant, kind=kind)
    await bury(container, new_tenant())
    assert sum(one.number for one in await preview(container, tenant, selection)) == number
    now = container.clock()
    assert await preview(container, tenant, Selection(until=now.replace(year=2000))) == []
    assert len(await preview(container, tenant, Selection(since=now.replace(year=2000)))) == 2
