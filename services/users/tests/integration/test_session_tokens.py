"""Sessions and refresh tokens over HTTP: they go on, are seen, and end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from quartet_common.auth.opaque_tokens import REFRESH_TOKEN, digest, family_of, make, make_next
from quartet_common.core.caller import Caller
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_testing.client import Document
from quartet_testing.conditions import eventually
from quartet_testing.people import PASSWORD, People, Session
from quartet_testing.services import new_tenant
from quartet_users.sessions import session_ending

NEW = "another horse, another staple"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


async def listed(people: People, session: Session, **query: str) -> list[Document]:
    answer = await people.users.client.get("/users/sessions", headers=session.headers, query_string=query)
    assert answer.status_code == 200, await answer.get_data()
    found: list[Document] = (await answer.get_json())["sessions"]
    return found


async def end(people: People, headers: dict[str, str], path: str = "", **query: str) -> int:
    answer = await people.users.client.delete(f"/users/sessions{path}", headers=headers, query_string=query)
    return answer.status_code


async def ended(people: People) -> list[tuple[str, str]]:
    return [(one["id"], one["reason"]) for one in await people.published("users.session.ended.v1")]


async def let_it_end(people: People, session: Session) -> None:
    async with people.users.container.database.transaction() as connection:
        await connection.execute(
            "UPDATE sessions SET ends_at = now() - interval '1 second' WHERE tenant_id = $1 AND id = $2::uuid",
            people.tenant,
            session.id,
        )


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_who_ends_a_session_by_a_clock_that_is_behind_ends_its_last_token_too(
    people: People, monkeypatch: pytest.MonkeyPatch, *, all_of_them: bool
) -> None:
    person = await people.person()
    session = await people.log_in(person)
    container = people.users.container
    clock = container.clock
    monkeypatch.setattr(container, "clock", lambda: clock() - timedelta(seconds=5))
    caller = Caller(people.tenant, "hr-sync")
    async with unit_of_work(container, caller) as work:
        if all_of_them:
            await session_ending.end_sessions_of(work, UUID(person["id"]), "revoked")
        else:
            await session_ending.end_session(work, UUID(session.id), None)
    assert await session.is_refused()


async def test_a_refresh_token_gives_new_tokens_of_the_same_session(people: People) -> None:
    session = await people.log_in(await people.person())
    status, answer = await people.refresh(session.tokens["refresh_token"])
    assert (status, answer["session_id"]) == (200, session.id)
    assert answer["refresh_token"] != session.tokens["refresh_token"]
    assert not await Session(people.users.client, answer).is_refused()
    assert (await people.refresh(answer["refresh_token"]))[0] == 200


async def test_refresh_tokens_are_stored_as_hashes(people: People) -> None:
    session = await people.log_in(await people.person())
    async with people.users.container.database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM refresh_tokens WHERE tenant_id = $1", people.tenant)
    assert len(rows) == 1
    assert session.tokens["refresh_token"] not in str(rows)


async def test_a_used_refresh_token_ends_the_session_and_all_its_tokens(people: People) -> None:
    person = await people.person()
    session, other = await people.log_in(person), await people.log_in(person)
    first = session.tokens["refresh_token"]
    _, second = await people.refresh(first)
    assert (await people.refresh(first)) == (
        400,
        {
            "error": "invalid_grant",
            "error_description": "The refresh token is invalid, expired or already used. Log in again.",
        },
    )
    assert (await people.refresh(second["refresh_token"]))[0] == 400
    assert await Session(people.users.client, second).is_refused()
    assert await session.is_refused()
    assert not await other.is_refused()
    assert await ended(people) == [(session.id, "reuse")]
    [event] = [one for one in await people.users.outbox(people.tenant) if "session.ended" in one.type]
    assert (event.actorid, event.actorname, event.actortype) == (person["id"], person["userName"], "user")
    revoked = await people.published("users.token.revoked.v1")
    assert [(one["kind"], one["id"]) for one in revoked] == [("session", session.id)]


@pytest.mark.parametrize("stolen", [0, 2, 4])
async def test_a_token_that_was_used_long_ago_ends_the_session_and_one_row_is_kept(people: People, stolen: int) -> None:
    session = await people.log_in(await people.person())
    tokens = [session.tokens["refresh_token"]]
    for _ in range(5):
        tokens.append((await people.refresh(tokens[-1]))[1]["refresh_token"])
    async with people.users.container.database.connection() as connection:
        query = "SELECT count(*) FROM refresh_tokens WHERE tenant_id = $1"
        assert await connection.fetchval(query, people.tenant) == 1
    assert (await people.refresh(tokens[stolen]))[1]["error"] == "invalid_grant"
    assert await ended(people) == [(session.id, "reuse")]
    assert (await people.refresh(tokens[-1]))[1]["error"] == "invalid_grant"


async def test_only_who_has_had_a_token_of_a_session_can_make_one_that_ends_it(people: People) -> None:
    session = await people.log_in(await people.person())
    good = session.tokens["refresh_token"]
    other = make(REFRESH_TOKEN, people.tenant)
    mixed = make_next(family_of(good)[:-1] + ("a" if family_of(good)[-1] != "a" else "b"))
    for unknown in (other, mixed):
        assert (await people.refresh(unknown))[1]["error"] == "invalid_grant"
    status, answer = await people.refresh(good)
    assert status == 200
    assert (await people.refresh(make_next(family_of(good))))[1]["error"] == "invalid_grant"
    assert await ended(people) == [(session.id, "reuse")]
    assert (await people.refresh(answer["refresh_token"]))[0] == 400


async def test_tokens_from_before_there_were_families_go_on_and_are_known_when_they_come_again(people: People) -> None:
    session = await people.log_in(await people.person())
    used, last = make(REFRESH_TOKEN, people.tenant), session.tokens["refresh_token"]
    async with people.users.container.database.transaction() as connection:
        await connection.execute("UPDATE refresh_tokens SET family_hash = NULL WHERE tenant_id = $1", people.tenant)
        await connection.execute(
            """
            INSERT INTO refresh_tokens (tenant_id, token_hash, session_id, issued_at, used_at)
            VALUES ($1, $2, $3::uuid, now(), now())
            """,
            people.tenant,
            digest(used),
            session.id,
        )
    status, answer = await people.refresh(last)
    assert status == 200
    status, answer = await people.refresh(answer["refresh_token"])
    assert status == 200
    assert (await people.refresh(used))[0] == 400
    assert await ended(people) == [(session.id, "reuse")]
    assert (await people.refresh(answer["refresh_token"]))[0] == 400


async def test_of_two_who_use_a_token_at_once_one_wins_and_the_session_ends(people: People) -> None:
    session = await people.log_in(await people.person())
    answers = await asyncio.gather(*(people.refresh(session.tokens["refresh_token"]) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 400, 400, 400, 400]
    [won] = [answer for status, answer in answers if status == 200]
    assert await Session(people.users.client, won).is_refused()
    assert await ended(people) == [(session.id, "reuse")]


async def test_tokens_that_were_never_given_are_refused(people: People) -> None:
    session = await people.log_in(await people.person())
    good = session.tokens["refresh_token"]
    flipped = good[:-1] + ("a" if good[-1] != "a" else "b")
    for wrong in (flipped, good.replace(people.tenant, new_tenant()), "x", good + "x", session.tokens["access_token"]):
        assert (await people.refresh(wrong))[1]["error"] == "invalid_grant"
    assert (await people.refresh(""))[1]["error"] == "invalid_request"
    assert (await people.refresh(good, client_id="quartet-console"))[1]["error"] == "invalid_grant"
    assert (await people.refresh(good, client_id="quartet-admin"))[1]["error"] == "invalid_client"
    assert (await people.refresh(good))[0] == 200, "what was wrong has not used it up"


async def test_scopes_are_those_of_the_moment_and_may_be_narrowed(people: People) -> None:
    person = await people.person()
    session = await people.log_in(person)
    async with people.users.container.database.transaction() as connection:
        await connection.execute(
            """
            WITH made AS (
                INSERT INTO roles (tenant_id, id, name, description, scopes, version, created_at, modified_at)
                VALUES ($1, gen_random_uuid(), 'Clerk', '', '{users:read,groups:read}', 1, now(), now()) RETURNING id)
            INSERT INTO role_grants (tenant_id, grantee_id, role_id, grantee_type, granted_at, granted_by)
            SELECT $1, $2::uuid, id, 'User', now(), 'tester' FROM made
            """,
            people.tenant,
            person["id"],
        )
    _, answer = await people.refresh(session.tokens["refresh_token"], scope="users:read")
    assert answer["scope"] == "users:read"
    status, refused = await people.refresh(answer["refresh_token"], scope="users:read users:write")
    assert (status, refused["error"]) == (400, "invalid_scope")
    _, answer = await people.refresh(answer["refresh_token"])
    assert answer["scope"] == "groups:read users:read"


async def test_a_session_that_is_over_gives_nothing_and_is_cleared_away(people: People) -> None:
    session = await people.log_in(await people.person())
    kept = await people.log_in(await people.person())
    await let_it_end(people, session)
    assert (await people.refresh(session.tokens["refresh_token"]))[1]["error"] == "invalid_grant"
    await session_ending.prune(people.users.container)
    assert await ended(people) == [(session.id, "expired")]
    assert (await people.refresh(kept.tokens["refresh_token"]))[0] == 200


async def test_a_session_lasts_longer_by_use_but_not_forever(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await people.log_in(await people.person())
    token, clock = session.tokens["refresh_token"], people.users.container.clock
    for days in (6, 12, 18, 24, 29.9999):
        later = clock() + timedelta(days=days)
        monkeypatch.setattr(people.users.container, "clock", lambda later=later: later)
        status, answer = await people.refresh(token)
        assert status == 200, days
        token = answer["refresh_token"]
    assert answer["expires_in"] < 20, "no access token outlives its session"
    over = clock() + timedelta(days=30, seconds=1)
    monkeypatch.setattr(people.users.container, "clock", lambda: over)
    assert (await people.refresh(token))[1]["error"] == "invalid_grant"


async def test_people_list_their_own_sessions_newest_first(people: People) -> None:
    person, other = await people.person(), await people.person()
    first, second = await people.log_in(person), await people.log_in(person, client_id="quartet-console")
    await people.log_in(other)
    found = await listed(people, first)
    assert [(one["id"], one["current"]) for one in found] == [(second.id, False), (first.id, True)]
    assert found[0].keys() == {
        "id", "user_id", "client_id", "created_at", "last_used_at", "ends_at", "expires_at", "source_address",
        "user_agent", "current",
    }  # fmt: skip
    assert "token" not in str(found)
    await let_it_end(people, second)
    assert [one["id"] for one in await listed(people, first)] == [first.id]


async def test_of_too_many_sessions_the_oldest_ends(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_ending, "MAX_SESSIONS", 2)
    person = await people.person()
    first, second, third = [await people.log_in(person) for _ in range(3)]
    assert await first.is_refused()
    assert [one["id"] for one in await listed(people, third)] == [third.id, second.id]
    assert await ended(people) == [(first.id, "superseded")]


async def test_sessions_are_listed_by_pages(people: People) -> None:
    person = await people.person()
    sessions = [await people.log_in(person) for _ in range(3)]
    query = {"count": "2"}
    seen: list[str] = []
    while True:
        answer = await people.users.client.get("/users/sessions", headers=sessions[0].headers, query_string=query)
        page = await answer.get_json()
        seen += [one["id"] for one in page["sessions"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == [session.id for session in reversed(sessions)]
    headers = people.headers
    another = {**query, "user": (await people.person())["id"]}
    wrong = await people.users.client.get("/users/sessions", headers=headers, query_string=another)
    assert wrong.status_code == 400, "a cursor is for one user only"


async def test_people_end_their_sessions(people: People) -> None:
    person = await people.person()
    one, two, three = [await people.log_in(person) for _ in range(3)]
    assert await end(people, one.headers, f"/{two.id}") == 204
    assert await two.is_refused()
    assert await end(people, one.headers, f"/{two.id}") == 404
    assert await end(people, one.headers, others="true") == 204
    assert await three.is_refused()
    assert not await one.is_refused()
    assert await end(people, one.headers) == 204
    assert await one.is_refused()
    for session in (one, two, three):
        assert (await people.refresh(session.tokens["refresh_token"]))[1]["error"] == "invalid_grant"
    assert await ended(people) == [(two.id, "logout"), (three.id, "logout"), (one.id, "logout")]


async def test_people_do_not_reach_the_sessions_of_others(people: People) -> None:
    mine, theirs = await people.log_in(await people.person()), await people.log_in(await people.person())
    user = theirs.tokens["user_id"]
    client = people.users.client
    assert await end(people, mine.headers, f"/{theirs.id}") == 404
    assert await end(people, mine.headers, user=user) == 403
    answer = await client.get("/users/sessions", headers=mine.headers, query_string={"user": user})
    assert answer.status_code == 403
    assert (await client.get("/users/sessions")).status_code == 401
    reader = people.users.tokens.headers(people.tenant, ["users:read", "users:write"])
    for status in ((await client.get("/users/sessions", headers=reader)).status_code, await end(people, reader)):
        assert status == 403, "a client is no person"
    assert not await theirs.is_refused()


async def test_administrators_list_and_end_the_sessions_of_anybody_in_their_tenant(people: People) -> None:
    person = await people.person()
    one, two, three = [await people.log_in(person) for _ in range(3)]
    client, query = people.users.client, {"user": person["id"]}
    stranger = people.users.tokens.headers(new_tenant(), ["tenant:admin"])
    assert (await (await client.get("/users/sessions", headers=stranger, query_string=query)).get_json())[
        "sessions"
    ] == []
    assert await end(people, stranger, f"/{one.id}") == 404
    assert await end(people, stranger, **query) == 404
    assert not await one.is_refused()
    seen = await (await client.get("/users/sessions", headers=people.headers, query_string=query)).get_json()
    assert [each["id"] for each in seen["sessions"]] == [three.id, two.id, one.id]
    assert await end(people, people.headers, f"/{one.id}") == 204
    assert await one.is_refused()
    assert not await two.is_refused()
    assert await end(people, people.headers, **query) == 204
    assert await two.is_refused()
    assert await three.is_refused()
    assert (await ended(people))[0] == (one.id, "revoked")
    assert set((await ended(people))[1:]) == {(two.id, "revoked"), (three.id, "revoked")}  # at once, in any order
    assert (await client.get("/users/sessions", headers=people.headers)).status_code == 400
    assert await end(people, people.headers, others="perhaps", **query) == 400
    assert await end(people, people.headers, "/no-id") == 404
    assert await end(people, people.headers, user="no-id") == 404
    odd = await client.get("/users/sessions", headers=people.headers, query_string={"user": "no-id"})
    assert (await odd.get_json())["sessions"] == []


Change = Callable[[People, Document], Awaitable[Any]]


async def deactivate(people: People, person: Document) -> int:
    message = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": False}}]}
    path = f"/scim/v2/Users/{person['id']}"
    return (await people.users.client.patch(path, headers=people.headers, json=message)).status_code


async def deactivate_by_put(people: People, person: Document) -> int:
    body = {"schemas": [CORE], "userName": person["userName"], "active": False}
    path = f"/scim/v2/Users/{person['id']}"
    return (await people.users.client.put(path, headers=people.headers, json=body)).status_code


async def delete(people: People, person: Document) -> int:
    return (await people.users.client.delete(f"/scim/v2/Users/{person['id']}", headers=people.headers)).status_code


async def delete_by_bulk(people: People, person: Document) -> int:
    body = {"schemas": [BULK], "Operations": [{"method": "DELETE", "path": f"/Users/{person['id']}"}]}
    return (await people.users.client.post("/scim/v2/Bulk", headers=people.headers, json=body)).status_code


async def new_password(people: People, person: Document) -> int:
    message = {"schemas": [PATCH], "Operations": [{"op": "add", "path": "password", "value": NEW}]}
    path = f"/scim/v2/Users/{person['id']}"
    return (await people.users.client.patch(path, headers=people.headers, json=message)).status_code


async def no_password(people: People, person: Document) -> int:
    message = {"schemas": [PATCH], "Operations": [{"op": "remove", "path": "password"}]}
    path = f"/scim/v2/Users/{person['id']}"
    return (await people.users.client.patch(path, headers=people.headers, json=message)).status_code


ENDINGS: dict[Change, str] = {
    deactivate: "deactivated",
    deactivate_by_put: "deactivated",
    delete: "deleted",
    delete_by_bulk: "deleted",
    new_password: "password_changed",
    no_password: "password_changed",
}


@pytest.mark.parametrize("change", ENDINGS)
async def test_a_change_of_the_user_ends_all_its_sessions(people: People, change: Change) -> None:
    person, other = await people.person(), await people.log_in(await people.person())
    sessions = [await people.log_in(person) for _ in range(2)]
    assert await change(people, person) in (200, 204)
    for session in sessions:
        assert (await people.refresh(session.tokens["refresh_token"]))[1]["error"] == "invalid_grant"

        async def refused(session: Session = session) -> bool:
            return await session.is_refused()

        await eventually(refused, "the access token to be refused")
    assert sorted(await ended(people)) == sorted((session.id, ENDINGS[change]) for session in sessions)
    revoked = [(one["kind"], one["id"]) for one in await people.published("users.token.revoked.v1")]
    assert revoked == [("subject", person["id"])]
    assert not await other.is_refused()


@pytest.mark.parametrize("change", ENDINGS)
async def test_for_a_user_without_sessions_nothing_is_revoked(people: People, change: Change) -> None:
    assert await change(people, await people.person()) in (200, 204)
    assert not await people.published("users.token.revoked.v1")


async def test_another_change_of_the_user_ends_nothing(people: People) -> None:
    person = await people.person()
    session = await people.log_in(person)
    message = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"title": "Dr", "active": True}}]}
    path = f"/scim/v2/Users/{person['id']}"
    answer = await people.users.client.patch(path, headers=people.headers, json=message)
    assert answer.status_code == 200
    assert not await ended(people)
    assert (await people.refresh(session.tokens["refresh_token"]))[0] == 200


async def change_password(people: People, headers: dict[str, str], old: str, new: str) -> tuple[int, str]:
    body = {"old_password": old, "new_password": new}
    answer = await people.users.client.post("/users/password", headers=headers, json=body)
    found = await answer.get_json(force=True) if answer.status_code != 204 else {"code": ""}
    return answer.status_code, found["code"]


async def test_people_change_their_password_and_stay_in_here_but_nowhere_else(people: People) -> None:
    person = await people.person()
    here, there = await people.log_in(person), await people.log_in(person)
    assert await change_password(people, here.headers, "wrong horse battery", NEW) == (403, "wrong_password")
    assert await change_password(people, here.headers, PASSWORD, "short") == (400, "password_refused")
    assert await change_password(people, here.headers, PASSWORD, NEW) == (204, "")
    assert not await here.is_refused()
    assert await there.is_refused()
    assert (await people.try_login(person["userName"]))[0] == 401
    assert (await people.try_login(person["userName"], NEW))[0] == 200
    assert await ended(people) == [(there.id, "password_changed")]
    assert [one["changed"] for one in await people.published("users.user.updated.v1")] == [["password"]]


async def test_clients_have_no_password_to_change(people: People) -> None:
    assert (await change_password(people, people.headers, PASSWORD, NEW))[0] == 403
    form = await people.users.client.post("/users/password", headers=people.headers, form={"old_password": PASSWORD})
    assert form.status_code == 403


@pytest.mark.parametrize("password", ["short", "x" * 1025, "bjensen@example.com"])
async def test_the_policy_holds_wherever_a_password_is_set(people: People, password: str) -> None:
    body = {"schemas": [CORE], "userName": "BJensen@example.com", "password": password}
    client, headers = people.users.client, people.headers
    posted = await client.post("/scim/v2/Users", headers=headers, json=body)
    person = await people.person(userName="bjensen@example.com")
    path = f"/scim/v2/Users/{person['id']}"
    put = await client.put(path, headers=headers, json=body)
    message = {"schemas": [PATCH], "Operations": [{"op": "add", "path": "password", "value": password}]}
    patched = await client.patch(path, headers=headers, json=message)
    for answer in (posted, put, patched):
        refusal = await answer.get_json(force=True)
        assert (answer.status_code, refusal["scimType"]) == (400, "invalidValue")
        assert refusal["detail"].startswith("password: It must ")
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": "a", "data": {**body, "userName": "Bjensen@example.com"}},
        {"method": "PUT", "path": f"/Users/{person['id']}", "data": body},
    ]
    bulk = await client.post("/scim/v2/Bulk", headers=headers, json={"schemas": [BULK], "Operations": operations})
    assert [one["status"] for one in (await bulk.get_json(force=True))["Operations"]] == ["400", "400"]
    await people.log_in(person)
