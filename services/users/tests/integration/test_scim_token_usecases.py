"""SCIM tokens over HTTP: made, shown once, used, listed, ended; and what is refused."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from quartet_common.auth.opaque_tokens import SCIM_TOKEN, make
from quartet_common.auth.token_verifier import MAX_TOKEN_LENGTH
from quartet_common.core.caller import Caller
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_testing.clock import Clock
from quartet_testing.conditions import eventually
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.scim_tokens import scim_token_store as store
from quartet_users.scim_tokens.scim_token_domain import NewScimToken
from quartet_users.scim_tokens.scim_token_finder import LAST_USE_INTERVAL
from quartet_users.scim_tokens.scim_token_usecases import KEPT, MAX_VALID, add_scim_token

Document = dict[str, Any]
Headers = dict[str, str]

ALL = ("users:read", "users:write", "groups:read", "groups:write", "tenant:admin")
PATH = "/users/scim-tokens"


@pytest.fixture
def headers(users: RunningService, tenant: str) -> Headers:
    """The token of an administrator who may give all scopes."""
    return users.tokens.headers(tenant, ALL, actor="carla")


@pytest.fixture(scope="session")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
async def later(config_for: ConfigFor[UsersConfig], clock: Clock) -> AsyncIterator[RunningService]:
    """The service with a clock of the test's own; what its verifier remembers ends by it too."""
    async with run_service(SERVICE, config_for(UsersConfig), clock=clock) as running:
        yield running


async def post(users: RunningService, headers: Headers, **body: Any) -> tuple[int, Document]:
    answer = await users.client.post(PATH, headers=headers, json={"name": "okta", **body})
    return answer.status_code, await answer.get_json(force=True)


async def create(users: RunningService, headers: Headers, **body: Any) -> Document:
    status, document = await post(users, headers, **body)
    assert status == 201, document
    return document


async def get(users: RunningService, headers: Headers, path: str = PATH) -> tuple[int, Document]:
    answer = await users.client.get(path, headers=headers)
    return answer.status_code, await answer.get_json(force=True)


def bearing(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


async def used(users: RunningService, token: str) -> int:
    return int((await users.client.get("/scim/v2/Users", headers=bearing(token))).status_code)


async def test_a_token_is_shown_once_works_and_is_known_by_its_hint(
    users: RunningService, tenant: str, headers: Headers
) -> None:
    made = await create(users, headers)
    token = made.pop("token")
    assert token.startswith(f"quartet_scim_{tenant}_")
    assert made["hint"] == f"quartet_scim_{tenant}_...{token[-4:]}"
    assert (made["name"], made["scopes"], made["created_by"]) == ("okta", sorted(set(ALL) - {"tenant:admin"}), "carla")
    assert (made["expires_at"], made["last_used_at"], made["revoked_at"]) == (None, None, None)
    assert await get(users, headers, f"{PATH}/{made['id']}") == (200, made)
    status, listed = await get(users, headers)
    assert (status, listed) == (200, {"scim_tokens": [made], "next": None})
    assert await used(users, token) == 200


async def test_what_is_done_with_a_token_is_done_by_it(users: RunningService, tenant: str, headers: Headers) -> None:
    made = await create(users, headers)
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "babs"}
    assert (await users.client.post("/scim/v2/Users", headers=bearing(made["token"]), json=body)).status_code == 201
    [created] = [event for event in await users.outbox(tenant) if event.type.endswith(".user.created.v1")]
    assert created.actorid == f"scim-token/{made['id']}"


async def test_a_token_does_what_its_scopes_say_and_no_more(users: RunningService, headers: Headers) -> None:
    made = await create(users, headers, scopes=["users:read"])
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "babs"}
    assert await used(users, made["token"]) == 200
    assert (await users.client.post("/scim/v2/Users", headers=bearing(made["token"]), json=body)).status_code == 403
    assert (await get(users, bearing(made["token"])))[0] == 403


async def test_a_revoked_token_is_refused_at_once_and_told_of(
    users: RunningService, tenant: str, headers: Headers
) -> None:
    made = await create(users, headers)
    assert await used(users, made["token"]) == 200
    path = f"{PATH}/{made['id']}"
    assert (await users.client.delete(path, headers=headers)).status_code == 204
    assert await used(users, made["token"]) == 401
    assert (await users.client.delete(path, headers=headers)).status_code == 204
    assert (await get(users, headers, path))[1]["revoked_at"] is not None
    published = await users.outbox(tenant)
    assert [event.routing_key for event in published] == [
        "users.scim_token.created.v1",
        "users.scim_token.revoked.v1",
        "users.token.revoked.v1",
    ]
    assert (published[2].data["kind"], published[2].data["id"]) == ("token", made["id"])
    assert all(made["token"][-49:] not in str(event.data) for event in published)


async def test_only_the_hash_of_a_token_is_stored(users: RunningService, tenant: str, headers: Headers) -> None:
    random = (await create(users, headers))["token"][-49:-6]
    async with users.container.database.connection() as connection:
        rows = await connection.fetch("SELECT t::text FROM scim_tokens t WHERE tenant_id = $1", tenant)
        rows += await connection.fetch("SELECT encode(event, 'escape') FROM outbox WHERE tenant_id = $1", tenant)
    assert rows
    shown = [random, random.encode().hex(), b64encode(random.encode()).decode()[:40]]
    assert not [text for text in shown for row in rows if text in row[0]]


async def test_a_token_ends_when_it_says(later: RunningService, clock: Clock, tenant: str) -> None:
    headers = later.tokens.headers(tenant, ALL)
    clock.ahead = timedelta()
    by_days = await create(later, headers, expires_in_days=1)
    end = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    by_time = await create(later, headers, expires_at=end)
    assert datetime.fromisoformat(by_time["expires_at"]) == datetime.fromisoformat(end)
    find = later.container.opaque_finder
    assert find is not None
    found = await find(by_time["token"])
    assert found is not None
    clock.ahead = timedelta(hours=3)
    assert [await used(later, one["token"]) for one in (by_days, by_time)] == [200, 401]
    clock.ahead = timedelta(hours=23, minutes=59, seconds=50)
    found = await find(by_days["token"])
    assert found is not None
    assert found.expires_at == int(datetime.fromisoformat(by_days["expires_at"]).timestamp())
    clock.ahead = timedelta(days=1)
    assert (await get(later, headers))[1]["scim_tokens"] != []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": ""}, 400, "bad_body"),
        ({"name": "x" * 201}, 400, "bad_body"),
        ({"name": "a\0b"}, 400, "bad_body"),
        ({"name": "a\n"}, 400, "bad_body"),
        ({"name": 7}, 400, "bad_body"),
        ({"secret": "mine"}, 400, "bad_body"),
        ({"scopes": []}, 400, "bad_scopes"),
        ({"scopes": ["audit:read"]}, 400, "bad_scopes"),
        ({"scopes": ["users:read", "tenant:admin"]}, 400, "bad_scopes"),
        ({"expires_in_days": 0}, 400, "bad_body"),
        ({"expires_in_days": 3651}, 400, "bad_body"),
        ({"expires_in_days": 1, "expires_at": "2999-01-01T00:00:00Z"}, 400, "bad_expiry"),
        ({"expires_at": "2999-01-01T00:00:00"}, 400, "bad_expiry"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400, "bad_expiry"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, 400, "bad_expiry"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, 400, "bad_expiry"),
        ({"expires_at": "tomorrow"}, 400, "bad_body"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    users: RunningService, headers: Headers, body: Document, status: int, code: str
) -> None:
    found, problem = await post(users, headers, **body)
    assert (found, problem["code"]) == (status, code)
    assert (await get(users, headers))[1]["scim_tokens"] == []


async def test_a_body_that_does_not_say_that_it_is_json_or_is_none_is_refused(
    users: RunningService, headers: Headers
) -> None:
    for sent, kind, status in (
        (b'{"name":"okta"}', "text/plain", 415),
        (b"name=okta", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b'"\xff"', "application/json", 400),
        (b'{"name":"\\ud800"}', "application/json", 400),
    ):
        answer = await users.client.post(PATH, headers={**headers, "Content-Type": kind}, data=sent)
        assert answer.status_code == status, sent


async def test_nobody_gives_what_they_lack_and_only_administrators_give(users: RunningService, tenant: str) -> None:
    admin = users.tokens.headers(tenant, ["tenant:admin", "users:read"])
    status, problem = await post(users, admin)
    assert (status, problem["code"]) == (403, "insufficient_scope")
    assert (await post(users, admin, scopes=["users:read", "users:write"]))[0] == 403
    made = await create(users, admin, scopes=["users:read"])
    poor = users.tokens.headers(tenant, sorted(set(ALL) - {"tenant:admin"}))
    assert (await post(users, poor))[0] == 403
    assert [(await get(users, poor, path))[0] for path in (PATH, f"{PATH}/{made['id']}")] == [403, 403]
    assert (await users.client.delete(f"{PATH}/{made['id']}", headers=poor)).status_code == 403
    assert await used(users, made["token"]) == 200


async def test_tokens_are_listed_by_page(users: RunningService, tenant: str, headers: Headers) -> None:
    made = [(await create(users, headers, name=f"idp {number}"))["id"] for number in range(5)]
    found: list[str] = []
    onward: str | None = ""
    while onward is not None:
        page = (await get(users, headers, f"{PATH}?count=2&cursor={onward}"))[1]
        found += [one["id"] for one in page["scim_tokens"]]
        assert len(page["scim_tokens"]) <= 2
        onward = page["next"]
    assert found == made
    other = users.tokens.headers(new_tenant(), ALL)
    cursor = (await get(users, headers, f"{PATH}?count=2"))[1]["next"]
    assert (await get(users, other, f"{PATH}?cursor={cursor}"))[0] == 400
    for query in ("count=0", "count=1001", "sort=name", "cursor=x", "count=1&count=2"):
        assert (await get(users, headers, f"{PATH}?{query}"))[0] == 400, query


async def test_tokens_of_others_and_none_are_not_found(users: RunningService, headers: Headers) -> None:
    made = await create(users, headers)
    other = users.tokens.headers(new_tenant(), ALL)
    for who, token_id in ((other, made["id"]), (headers, str(uuid4())), (headers, "x")):
        path = f"{PATH}/{token_id}"
        assert (await get(users, who, path))[0] == 404
        assert (await users.client.delete(path, headers=who)).status_code == 404
    assert await used(users, made["token"]) == 200


async def test_what_was_never_made_is_refused(users: RunningService, tenant: str, headers: Headers) -> None:
    token = (await create(users, headers))["token"]
    changed = token[:-7] + ("a" if token[-7] != "a" else "b") + token[-6:]
    for wrong in (
        make(SCIM_TOKEN, tenant),
        changed,
        token[:-1],
        token + "a",
        SCIM_TOKEN,
        token.replace(tenant, new_tenant()),
        SCIM_TOKEN + "a" * MAX_TOKEN_LENGTH,
    ):
        assert await used(users, wrong) == 401, wrong[:100]
    assert await used(users, token) == 200


async def test_the_last_use_is_known_to_the_minute(later: RunningService, clock: Clock, tenant: str) -> None:
    clock.ahead = timedelta()
    headers = later.tokens.headers(tenant, ALL)
    made = await create(later, headers)
    find = later.container.opaque_finder
    assert find is not None

    async def last() -> datetime | None:
        text = (await get(later, headers, f"{PATH}/{made['id']}"))[1]["last_used_at"]
        return None if text is None else datetime.fromisoformat(text)

    assert await used(later, made["token"]) == 200
    first = await eventually(last, "the first use")
    clock.ahead = LAST_USE_INTERVAL / 2
    await find(made["token"])
    async with later.container.database.transaction() as connection:  # even where a process has not heard of the first
        await store.note_uses(connection, {(tenant, UUID(made["id"])): clock()}, LAST_USE_INTERVAL)
    assert await last() == first
    clock.ahead = LAST_USE_INTERVAL + timedelta(seconds=1)
    await find(made["token"])

    async def moved() -> bool:
        return await last() != first

    await eventually(moved, "the second use")


async def test_a_tenant_has_a_bounded_number_of_tokens_and_those_that_ended_are_forgotten(
    later: RunningService, clock: Clock, tenant: str
) -> None:
    clock.ahead = timedelta()
    headers = later.tokens.headers(tenant, ALL)
    async with unit_of_work(later.container, Caller(tenant, "carla")) as work:
        for number in range(MAX_VALID - 1):
            end = clock() + timedelta(days=1)
            await add_scim_token(work, NewScimToken(f"idp {number}", expires_at=end))
    made = await create(later, headers)
    assert (await post(later, headers))[0] == 409
    assert (await later.client.delete(f"{PATH}/{made['id']}", headers=headers)).status_code == 204
    assert (await post(later, headers))[0] == 201
    clock.ahead = KEPT + timedelta(days=2)
    await create(later, headers, name="the last")
    names = [one["name"] for one in (await get(later, headers))[1]["scim_tokens"]]
    assert names == ["okta", "the last"]


async def test_a_token_that_is_made_within_another_transaction_goes_with_it(
    users: RunningService, tenant: str, headers: Headers
) -> None:
    caller = Caller(tenant, "carla")
    async with unit_of_work(users.container, caller) as work:
        kept = await add_scim_token(work, NewScimToken("kept"))
    with suppress(ZeroDivisionError):
        async with unit_of_work(users.container, caller) as work:
            made = await add_scim_token(work, NewScimToken("undone"))
            raise ZeroDivisionError
    assert [await used(users, one.secret) for one in (kept, made)] == [200, 401]
    assert kept.secret not in repr(kept)
    async with unit_of_work(users.container, caller) as work:
        wrong = NewScimToken("x", frozenset({"tenant:admin"}))
        with pytest.raises(ValueError, match="users:read"):
            await add_scim_token(work, wrong)
