"""Records apart: the log, counts, exports and dead letters."""

import json
from uuid import uuid4

import aio_pika
from yarl import URL

from quartet_testing.faults import database
from quartet_testing.isolation.world import World, clean, missing, newcomer


async def entries_are_listed_apart(world: World, _: str) -> None:
    queries = [
        {},
        {"resource": world.user["id"]},
        {"actor": world.entry["actor"]},
        {"action": "users.user.*"},
        {"outcome": "success", "order": "asc"},
    ]
    for query in queries:
        answer = await world.stranger.get("/audit/events", params={**query, "limit": 500})
        assert answer.status_code == 200
        clean(world, answer.text)
    cursor = (await world.owner.get("/audit/events", params={"limit": 1})).json()["next"]
    assert cursor
    answer = await world.stranger.get("/audit/events", params={"limit": 1, "cursor": cursor})
    assert answer.status_code == 400


async def an_entry_is_not_read(world: World, _: str) -> None:
    assert (await world.owner.get(f"/audit/events/{world.entry['id']}")).status_code == 200
    missing(await world.stranger.get(f"/audit/events/{world.entry['id']}"))


async def counts_are_apart(world: World, _: str) -> None:
    assert await world.owner.count("groups.group.created") == 1
    async with newcomer(world) as third:
        await third.create_user()
        await third.counted("users.user.created", 1)
        answer = await third.get("/metrics/query", params={"metric": "events", "by": "type"})
        assert not [series["key"] for series in answer.json()["series"] if series["key"].startswith("groups.")]


async def exports_are_apart(world: World, service: str) -> None:
    answer = await world.stranger.get(f"/{service}/data/export")
    assert answer.status_code == 200
    clean(world, answer.text)
    if service == "metrics":  # numbers of all tenants look alike
        async with newcomer(world) as third:
            await third.create_user()
            await third.counted("users.user.created", 1)
            lines = (await third.get("/metrics/data/export")).text.splitlines()
        counts = {one["action"]: one["count"] for line in lines[:-1] if (one := json.loads(line)["data"])}
        assert counts["users.user.created"] == 1
        assert not [action for action in counts if action.startswith("groups.")]


async def dead_letters_are_apart(world: World, service: str) -> None:
    path = f"/{service}/rabbitmq/dead-letters"
    letter = await put_dead_letter(world, service)
    own = (await world.owner.get(path, params={"limit": 100})).json()
    assert letter in [each["id"] for each in own["dead_letters"]]
    foreign = (await world.stranger.get(path, params={"limit": 100})).json()
    assert foreign["dead_letters"] == []
    clean(world, json.dumps(foreign))


async def dead_letters_are_redriven_apart(world: World, service: str) -> None:
    path = f"/{service}/rabbitmq/dead-letters/redrive"
    letter = await put_dead_letter(world, service)
    assert (await world.stranger.post(path)).json() == {"redriven": 0}
    assert (await world.stranger.post(path, params={"id": letter})).json() == {"redriven": 0}
    assert (await world.owner.post(path, params={"id": letter})).json() == {"redriven": 1}


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


async def put_dead_letter(world: World, service: str) -> str:
    """Put an event of the owner where it ends when it fails too often; returns its id."""
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
    return message_id
