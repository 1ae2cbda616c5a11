"""Logins and sessions under attack: guessing, timing, enumeration, stolen refresh tokens, other people's sessions."""

import random
import time
from collections.abc import Awaitable, Callable
from secrets import token_urlsafe
from statistics import median
from typing import Any

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_testing.attacks import Stranger, essence, says_nothing, somewhere
from quartet_testing.client import USERS, Api, Document, bulk_document, patch_document, unique, user_document
from quartet_testing.conditions import eventually
from quartet_testing.forgery import claims_of

pytestmark = pytest.mark.local_stack

PATHS = {"users": USERS, "groups": "/scim/v2/Groups", "audit": "/audit/events", "metrics": "/metrics/catalog"}
TRIES = 200
"""Logins whose times are compared: half of them of somebody who is not there."""
ALIKE = 0.12
"""The share by which the medians of the two halves may differ; the machine is shared."""
MOST_GUESSES = 60
"""By then whoever guesses at one account from one place has been told to wait."""


Person = dict[str, str]


@pytest.fixture(scope="module")
async def tenant(mine: Api) -> str:
    """The tenant of the module."""
    return str(claims_of(mine.headers["Authorization"].removeprefix("Bearer "))["tenant"])


async def person(api: Api, tenant: str, **more: Any) -> Person:
    """Somebody with a password, as what a login sends."""
    password = token_urlsafe(24)
    user = await api.create_user(password=password, **more)
    return {"tenant": tenant, "user_name": user["userName"], "password": password}


async def people(api: Api, tenant: str, number: int) -> list[Person]:
    """Many with passwords."""
    made = [{"tenant": tenant, "user_name": unique("p"), "password": token_urlsafe(24)} for _ in range(number)]
    operations = [
        {
            "method": "POST",
            "path": "/Users",
            "bulkId": one["user_name"],
            "data": user_document(userName=one["user_name"], password=one["password"]),
        }
        for one in made
    ]
    answer = await api.post("/scim/v2/Bulk", json=bulk_document(*operations))
    assert {one["status"] for one in answer.json()["Operations"]} == {"201"}, answer.text[:500]
    return made


async def log_in(client: httpx.AsyncClient, who: Person, **more: str) -> Document:
    """The tokens of a new session."""
    answer = await client.post("/users/login", json={**who, **more})
    assert answer.status_code == 200, answer.text
    tokens: Document = answer.json()
    return tokens


async def refresh(client: httpx.AsyncClient, token: str, **more: str) -> httpx.Response:
    """What the token endpoint says to a refresh token."""
    form = {"grant_type": "refresh_token", "client_id": "quartet-cli", "refresh_token": token, **more}
    return await client.post("/oauth2/token", data=form)


# ---- guessing ---------------------------------------------------------------------------------------------------


async def test_every_failed_login_gets_the_same_response(
    stack: Stack, stranger: Stranger, mine: Api, tenant: str
) -> None:
    known, gone = await person(mine, tenant), await person(mine, tenant, active=False)
    without = await mine.create_user()
    wrong = {
        "password": {**known, "password": "wrong " + known["password"]},
        "case": {**known, "password": known["password"].swapcase()},
        "empty": {**known, "password": ""},
        "user": {**known, "user_name": unique("nobody")},
        "tenant": {**known, "tenant": "no-such-tenant"},
        "no tenant at all": {**known, "tenant": "../*"},
        "inactive": gone,
        "no password": {**known, "user_name": without["userName"]},
        "a name with SQL": {**known, "user_name": "' OR '1'='1"},
        "a name with a NUL": {**known, "user_name": f"{known['user_name']}\0"},
        "a long name": {**known, "user_name": "x" * 5000},
    }
    answers = {}
    for name, body in wrong.items():
        async with somewhere(stack.url) as guest:
            answers[name] = await guest.http.post("/users/login", json=body)
    told = essence(answers["password"])
    assert told["status"] == 401
    assert {name for name, one in answers.items() if essence(one) != told} == set()
    says_nothing(str(told))
    assert (await log_in(stranger.http, known))["access_token"]


@pytest.mark.slow
async def test_how_long_a_refusal_takes_does_not_tell_whether_there_is_such_a_user(
    stack: Stack, mine: Api, tenant: str
) -> None:
    known = await people(mine, tenant, TRIES // 6)

    async def timed(body: Person) -> float:
        async with somewhere(stack.url) as guest:
            await guest.http.get("/users/health/live")
            begun = time.perf_counter()
            answer = await guest.http.post("/users/login", json={**body, "password": "wrong wrong wrong wrong"})
            assert answer.status_code == 401
            return time.perf_counter() - begun

    async def compared() -> float:
        times: dict[bool, list[float]] = {True: [], False: []}
        kinds = [True, False] * (TRIES // 2)
        random.shuffle(kinds)
        for number, exists in enumerate(kinds):
            who = known[number % len(known)]
            times[exists].append(await timed(who if exists else {**who, "user_name": unique("p")}))
        return median(times[True]) / median(times[False])

    ratio = await compared()
    if not 1 - ALIKE < ratio < 1 + ALIKE:
        ratio = await compared()
    assert 1 - ALIKE < ratio < 1 + ALIKE


async def test_who_guesses_is_made_to_wait_and_the_victim_still_gets_in(stack: Stack, mine: Api, tenant: str) -> None:
    victim = await person(mine, tenant)
    async with somewhere(stack.url) as attacker, somewhere(stack.url) as elsewhere:
        for _ in range(MOST_GUESSES):
            answer = await attacker.http.post("/users/login", json={**victim, "password": "a wrong password"})
            if answer.status_code == 429:
                break
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
        says_nothing(answer.text)
        right = await attacker.http.post("/users/login", json=victim)
        assert right.status_code == 429, "the answer would tell that the password is right"
        assert (await log_in(elsewhere.http, victim))["access_token"]

        async def later() -> bool:
            return (await attacker.http.post("/users/login", json=victim)).status_code == 200

        await eventually(later, "the wait to be over")


async def test_guesses_from_everywhere_do_not_lock_the_victim_out_for_long(
    stack: Stack, mine: Api, tenant: str
) -> None:
    victim = await person(mine, tenant)
    statuses = set()
    for _ in range(25):
        async with somewhere(stack.url) as attacker:
            answer = await attacker.http.post("/users/login", json={**victim, "password": "a wrong password"})
            statuses.add(answer.status_code)
    assert statuses == {401, 429}
    async with somewhere(stack.url) as elsewhere:

        async def gets_in() -> bool:
            return (await elsewhere.http.post("/users/login", json=victim)).status_code == 200

        await eventually(gets_in, "the victim to get in")


@pytest.mark.parametrize("path", ["/users/password/reset", "/users/forgot", "/users/register", "/users/me"])
async def test_there_is_no_other_way_to_ask_who_has_an_account(stranger: Stranger, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await stranger.http.request(method, path, json={"user_name": "bjensen"})
        assert answer.status_code in (401, 404, 405)
    assert (await stranger.http.post(USERS, json=user_document())).status_code == 401


# ---- sessions ---------------------------------------------------------------------------------------------------


async def refused_everywhere(api: Api) -> bool:
    """Whether every service refuses the client's token."""
    return all([(await api.get(path)).status_code == 401 for path in PATHS.values()])


async def administrator(mine: Api, tenant: str) -> Person:
    """Somebody with every scope that each service asks for."""
    who = await person(mine, tenant)
    scopes = ["users:read", "groups:read", "audit:read", "metrics:read", "tenant:admin"]
    role = (await mine.post("/users/roles", json={"name": unique("all"), "scopes": scopes})).json()
    found = await mine.get(USERS, params={"filter": f'userName eq "{who["user_name"]}"'})
    given = {"type": "User", "id": found.json()["Resources"][0]["id"]}
    assert (await mine.post(f"/users/roles/{role['id']}/grants", json=given)).status_code in (200, 201)
    return who


async def test_a_refresh_token_that_comes_again_ends_its_session_everywhere_and_no_other(
    stack: Stack, mine: Api, tenant: str
) -> None:
    who = await administrator(mine, tenant)
    async with somewhere(stack.url) as guest:
        stolen, other = await log_in(guest.http, who), await log_in(guest.http, who)
        rotated = await refresh(guest.http, stolen["refresh_token"])
        assert rotated.status_code == 200
        async with (
            Api(stack.url, rotated.json()["access_token"]) as thief,
            Api(stack.url, other["access_token"]) as own,
        ):
            for path in PATHS.values():
                assert (await thief.get(path)).status_code == 200
            again = await refresh(guest.http, stolen["refresh_token"])
            assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
            last = await refresh(guest.http, rotated.json()["refresh_token"])
            assert (last.status_code, last.json()) == (400, again.json())
            await eventually(lambda: refused_everywhere(thief), "the session's tokens to be refused")
            for path in PATHS.values():
                assert (await own.get(path)).status_code == 200
        assert (await refresh(guest.http, other["refresh_token"])).status_code == 200


async def test_a_refresh_token_gives_no_further_scopes_and_works_for_its_client_only(
    stranger: Stranger, mine: Api, tenant: str
) -> None:
    tokens = await log_in(stranger.http, await person(mine, tenant))
    token = tokens["refresh_token"]
    assert (await refresh(stranger.http, token, scope="tenant:admin")).status_code == 400
    assert (await refresh(stranger.http, token, client_id="quartet-console")).status_code == 400
    assert (await refresh(stranger.http, token, client_id="quartet-admin")).status_code in (400, 401)
    for wrong in (token[:-1], token + "x", token.swapcase(), "", "null", token.replace(tenant, "default")):
        answer = await refresh(stranger.http, wrong)
        assert answer.status_code == 400
        assert token not in answer.text
    found = await refresh(stranger.http, token)
    assert found.status_code == 200
    assert claims_of(found.json()["access_token"])["sub"] == tokens["user_id"]


async def test_a_user_cannot_list_or_end_sessions_of_others(
    stack: Stack, stranger: Stranger, mine: Api, other: Api, tenant: str
) -> None:
    victims = await log_in(stranger.http, await person(mine, tenant))
    own = await log_in(stranger.http, await person(mine, tenant))
    async with Api(stack.url, own["access_token"]) as somebody, Api(stack.url, victims["access_token"]) as victim:
        of_victim = {"user": victims["user_id"]}
        assert (await somebody.get("/users/sessions", params=of_victim)).status_code == 403
        assert (await somebody.delete("/users/sessions", params=of_victim)).status_code == 403
        assert (await somebody.delete(f"/users/sessions/{victims['session_id']}")).status_code == 404
        assert (await other.delete(f"/users/sessions/{victims['session_id']}")).status_code == 404
        assert (await somebody.post("/users/password", json={"user_id": victims["user_id"]})).status_code == 400
        listed = (await somebody.get("/users/sessions")).json()["sessions"]
        assert [one["id"] for one in listed] == [own["session_id"]]
        assert (await victim.get("/users/sessions")).status_code == 200
        assert (await somebody.delete(f"/users/sessions/{own['session_id']}")).status_code == 204
        assert (await somebody.get("/users/sessions")).status_code == 401
    assert (await refresh(stranger.http, own["refresh_token"])).status_code == 400
    assert (await refresh(stranger.http, victims["refresh_token"])).status_code == 200


@pytest.mark.parametrize("how", ["password", "deactivated", "deleted"])
async def test_a_stolen_session_ends_when_its_user_is_changed_or_deleted(
    stack: Stack, stranger: Stranger, mine: Api, tenant: str, how: str
) -> None:
    who = await person(mine, tenant)
    stolen = await log_in(stranger.http, who)
    path = f"{USERS}/{stolen['user_id']}"
    steps: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
        "password": lambda: mine.patch(
            path, json=patch_document({"op": "replace", "path": "password", "value": token_urlsafe(20)})
        ),
        "deactivated": lambda: mine.patch(
            path, json=patch_document({"op": "replace", "path": "active", "value": False})
        ),
        "deleted": lambda: mine.delete(path),
    }
    async with Api(stack.url, stolen["access_token"]) as thief:
        assert (await thief.get("/users/sessions")).status_code == 200
        assert (await steps[how]()).status_code in (200, 204)

        async def refused() -> bool:
            return (await thief.get("/users/sessions")).status_code == 401

        await eventually(refused, "the session's token to be refused")
    assert (await refresh(stranger.http, stolen["refresh_token"])).status_code == 400
    assert (await stranger.http.post("/users/login", json=who)).status_code == 401


async def test_a_caller_with_all_scopes_of_a_user_can_set_its_password_and_it_is_logged(
    stack: Stack, stranger: Stranger, mine: Api, tenant: str
) -> None:
    who = await administrator(mine, tenant)
    old = await log_in(stranger.http, who)
    taken = {**who, "password": token_urlsafe(20)}
    change = patch_document({"op": "replace", "path": "password", "value": taken["password"]})
    assert (await mine.patch(f"{USERS}/{old['user_id']}", json=change)).status_code == 200
    new = await log_in(stranger.http, taken)
    assert "tenant:admin" in new["scope"]
    async with Api(stack.url, new["access_token"]) as taker:
        assert await taker.entries_of(old["user_id"], "users.user.updated"), "the log says who did it"
