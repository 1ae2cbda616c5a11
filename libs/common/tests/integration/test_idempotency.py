"""Idempotency-Key: one effect and one response, whatever the client, the process or another request does."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart, Response, request

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import ServiceError
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.runtime import idempotency_store
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.idempotency import Claim
from quartet_common.runtime.process import Service
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.responses import json_response
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant, run_service

PATH = "/common/doors"


class Doors:
    """What the view does: it waits for `hold` inside the transaction, and raises what fails before or after it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.fails_before: Exception | None = None
        self.fails_after: Exception | None = None


@pytest.fixture
def doors() -> Doors:
    return Doors()


@pytest.fixture
async def service(config: ServiceConfig, doors: Doors) -> AsyncIterator[RunningService]:
    def create_app(container: AppContainer[Any]) -> Quart:
        app = create_base_app(container, title="Common")

        @app.post(PATH)
        @requires("users:write")
        @idempotent
        async def create() -> Response:
            sent = await request.get_data(as_text=True)
            door = str(uuid4())
            event = DomainEvent("common.door.opened.v1", f"doors/{door}", 1, {"sent": sent})
            async with unit_of_work(container, caller()) as work:
                if doors.fails_before is not None:
                    raise doors.fails_before
                work.publish([event])
                doors.begun.set()
                if doors.hold is not None:
                    await doors.hold.wait()
            if doors.fails_after is not None:
                raise doors.fails_after
            return json_response({"door": door, "secret": "t1meMa$heen"}, 201, headers={"Location": f"/doors/{door}"})

        return app

    made = Service("quartet_common", type(config), create_app, lambda _: [])
    async with run_service(made, config) as running:
        yield running


class Client:
    """Sends requests of one client of one tenant."""

    def __init__(self, service: RunningService, tenant: str, actor: str = "okta") -> None:
        self.service = service
        self.tenant = tenant
        self.headers = service.tokens.headers(tenant, ["users:write"], actor)

    async def post(self, key: str, body: bytes = b"a", query: str = "") -> Response:
        """A POST with the key."""
        headers = {**self.headers, "Idempotency-Key": key}
        return await self.service.client.post(PATH + query, data=body, headers=headers)

    async def events(self) -> int:
        """How often a door was opened."""
        return len(await self.service.outbox(self.tenant))


@pytest.fixture
def client(service: RunningService) -> Client:
    return Client(service, new_tenant())


async def code_of(response: Response) -> tuple[int, str]:
    """Status and code of an error."""
    return response.status_code, (await response.get_json())["code"]


async def test_a_repeated_request_gets_the_first_response_and_has_no_second_effect(client: Client) -> None:
    first = await client.post('"8e03978e-40d5"')
    again = await client.post("8e03978e-40d5")
    assert (first.status_code, again.status_code) == (201, 201)
    assert await again.get_data() == await first.get_data()
    for name in ("Location", "Content-Type", "Quartet-Event"):
        assert again.headers.getlist(name) == first.headers.getlist(name)
        assert len(again.headers.getlist(name)) == 1
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert await client.events() == 1
    assert await code_of(await client.post("8e03978e-40d5", b"b")) == (422, "idempotency_key_reused")
    assert await code_of(await client.post("8e03978e-40d5", b"a", "?x=1")) == (422, "idempotency_key_reused")
    assert (await client.post("other")).status_code == 201
    assert await client.events() == 2


async def test_a_key_is_of_one_caller_of_one_tenant(service: RunningService, client: Client) -> None:
    first = await client.post("1")
    entra, stranger = Client(service, client.tenant, "entra"), Client(service, new_tenant())
    doors = {(await (await one.post("1")).get_json())["door"] for one in (client, entra, stranger)}
    assert len(doors) == 3
    assert (await first.get_json())["door"] in doors
    assert (await client.events(), await stranger.events()) == (2, 1)


async def test_a_duplicate_waits_for_the_running_request(client: Client, doors: Doors) -> None:
    doors.hold = asyncio.Event()
    first = asyncio.ensure_future(client.post("1"))
    await asyncio.wait_for(doors.begun.wait(), 20)
    others = [asyncio.ensure_future(client.post("1")) for _ in range(5)]
    assert await code_of(await client.post("1", b"b")) == (422, "idempotency_key_reused")
    done, _ = await asyncio.wait(others, timeout=0.3)
    assert not done
    doors.hold.set()
    answers = [await first, *await asyncio.gather(*others)]
    assert {(answer.status_code, await answer.get_data()) for answer in answers} == {(201, await answers[0].get_data())}
    assert await client.events() == 1


async def test_of_requests_at_the_same_time_one_is_carried_out(client: Client) -> None:
    answers = await asyncio.gather(*(client.post("1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({await answer.get_data() for answer in answers}) == 1
    assert await client.events() == 1


async def test_after_an_error_the_key_can_be_used_again(client: Client, doors: Doors) -> None:
    doors.fails_before = ServiceError(409, "conflict", "The door is open.")
    assert await code_of(await client.post("1")) == (409, "conflict")
    doors.fails_before = ValueError("a fault")
    assert (await client.post("1", b"b")).status_code == 500
    doors.fails_before = None
    assert (await client.post("1", b"c")).status_code == 201
    assert await client.events() == 1


async def test_a_committed_change_whose_response_failed_is_not_repeated(client: Client, doors: Doors) -> None:
    doors.fails_after = ValueError("the process ends here")
    assert (await client.post("1")).status_code == 500
    doors.fails_after = None
    await grow_old(client, idempotency_store.ABANDONED + 1)
    assert await code_of(await client.post("1")) == (409, "idempotent_response_lost")
    assert await client.events() == 1


async def grow_old(client: Client, seconds: float) -> None:
    """Have all keys of the tenant be older."""
    async with client.service.container.database.connection() as connection:
        await connection.execute(
            "UPDATE idempotency_keys SET claimed_at = claimed_at - make_interval(secs => $2) WHERE tenant_id = $1",
            client.tenant,
            seconds,
        )


async def test_a_request_that_was_taken_over_changes_nothing(client: Client, doors: Doors) -> None:
    """A process that hangs for more than a minute, then goes on."""
    doors.hold = asyncio.Event()
    first = asyncio.ensure_future(client.post("1"))
    await asyncio.wait_for(doors.begun.wait(), 20)
    hold, doors.hold = doors.hold, None
    await grow_old(client, idempotency_store.ABANDONED + 1)
    second = await client.post("1")
    assert second.status_code == 201
    hold.set()
    assert await code_of(await first) == (409, "idempotency_key_taken_over")
    assert await client.events() == 1
    assert await (await client.post("1")).get_data() == await second.get_data()


async def test_a_duplicate_of_a_request_that_does_not_end_is_refused(
    client: Client, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_common.web.idempotency.WAIT", 0.1)
    doors.hold = asyncio.Event()
    first = asyncio.ensure_future(client.post("1"))
    await asyncio.wait_for(doors.begun.wait(), 20)
    answer = await client.post("1")
    assert (await code_of(answer), answer.headers["Retry-After"]) == ((409, "idempotent_request_running"), "5")
    doors.hold.set()
    assert (await first).status_code == 201


async def test_a_response_that_cannot_be_stored_is_sent(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise ServiceError(503, "postgresql_unavailable", "postgresql is unavailable.")

    monkeypatch.setattr(Claim, "save", fail)
    assert (await client.post("1")).status_code == 201
    assert "is not stored" in caplog.text


@pytest.mark.parametrize("key", ["", '""', '"', 'a"b', "two words", "ü", "x" * 256, '"a", "b"'])
async def test_a_key_that_is_no_key_is_refused(client: Client, key: str) -> None:
    answer = await client.post(key)
    assert await code_of(answer) == (400, "bad_idempotency_key")
    assert await client.events() == 0


async def test_stored_responses_are_encrypted_and_unreadable_with_another_secret(client: Client) -> None:
    first = await client.post("1")
    async with client.service.container.database.connection() as connection:
        [row] = await connection.fetch("SELECT * FROM idempotency_keys WHERE tenant_id = $1", client.tenant)
        assert "t1meMa" not in str(dict(row))
        assert (await first.get_json())["door"] not in str(dict(row))
        assert row["key"] == hashlib.sha256(b"1").digest()
        await connection.execute("UPDATE idempotency_keys SET response = 'e30.x.y.z.w' WHERE key = $1", row["key"])
    assert await code_of(await client.post("1")) == (409, "idempotent_response_lost")


async def test_keys_expire_after_a_day(client: Client) -> None:
    first = await client.post("1")
    await grow_old(client, idempotency_store.KEPT - 60)
    assert (await client.post("1")).headers["Idempotency-Replayed"] == "true"
    database = client.service.container.database
    await client.post("2")
    await grow_old(client, 61)

    async def pruned() -> bool:
        async with database.transaction() as connection:
            return await idempotency_store.prune(connection) == 0

    await client.post("3")
    second = await client.post("1", b"b")
    assert (second.status_code, "Idempotency-Replayed" in second.headers) == (201, False)
    assert await second.get_data() != await first.get_data()
    await grow_old(client, idempotency_store.KEPT - 50)
    await eventually(pruned, "all expired keys to be deleted")
    async with database.connection() as connection:
        left = await connection.fetch("SELECT key FROM idempotency_keys WHERE tenant_id = $1", client.tenant)
    assert {row["key"] for row in left} == {hashlib.sha256(one).digest() for one in (b"1", b"3")}
