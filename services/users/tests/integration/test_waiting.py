"""What logins wait for: a change that holds the tenant, a row that somebody else has, and each other."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import argon2
import pytest

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.subscriptions import dispatch
from quartet_testing.conditions import eventually
from quartet_testing.group_events import GroupEvents
from quartet_testing.people import PASSWORD, People
from quartet_testing.roles import RoleAdmin
from quartet_testing.services import RunningService, new_tenant
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.roles import role_store
from quartet_users.sessions import session_tokens
from quartet_users.subscriptions import subscriptions
from quartet_users.tenants import tenant_domain, tenant_store

NEW = "another horse, another staple"
MANY = 14
"""More than a pool has connections."""


@pytest.fixture
async def others(users: RunningService) -> People:
    """The people of another tenant."""
    tenant = new_tenant()
    async with users.container.database.transaction() as connection:
        await tenant_store.insert_tenant(connection, tenant_domain.create(tenant, "", users.container.clock())[0])
    return People(users, tenant, users.tokens.headers(tenant, ["users:read", "users:write"]))


async def reads(people: People, person: dict[str, Any]) -> int:
    path = f"/scim/v2/Users/{person['id']}"
    return (await people.users.client.get(path, headers=people.headers)).status_code


async def test_logins_that_wait_for_a_change_of_their_tenant_keep_no_other_tenant_out(
    people: People, others: People
) -> None:
    database = people.users.container.database
    assert database.pool.get_max_size() < MANY
    person, other = await people.person(), await others.person()
    first = await people.log_in(person)
    refused: list[str] = []
    ask = role_store.scopes_of_user

    async def counted(*arguments: Any) -> frozenset[str]:
        try:
            return await ask(*arguments)
        except Exception as error:
            refused.append(str(error))
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(role_store, "scopes_of_user", counted)
        async with database.transaction() as connection:
            await role_store.lock_scopes(connection, people.tenant)
            logins = [asyncio.create_task(people.try_login(person["userName"])) for _ in range(MANY)]
            refresh = asyncio.create_task(people.refresh(first.tokens["refresh_token"]))

            async def wait() -> bool:
                return len(refused) > MANY

            await eventually(wait, "all to find it held")
            assert await reads(others, other) == 200
            assert (await others.try_login(other["userName"]))[0] == 200
            assert not any(one.done() for one in (*logins, refresh))
        assert {status for status, _ in await asyncio.gather(*logins)} == {200}
        assert (await refresh)[0] == 200


async def test_changes_of_roles_that_wait_for_another_keep_no_other_tenant_out(
    people: People, others: People, admin: RoleAdmin
) -> None:
    database = people.users.container.database
    other = await others.person()
    async with database.transaction() as connection:
        await role_store.lock_grants(connection, people.tenant)
        changes = [asyncio.create_task(admin.role(f"role {number}", "users:read")) for number in range(MANY)]
        for _ in range(3):
            assert await reads(others, other) == 200
        assert (await others.try_login(other["userName"]))[0] == 200
        assert not any(one.done() for one in changes)
    assert len(set(await asyncio.gather(*changes))) == MANY


async def test_a_login_with_a_new_password_and_news_of_who_has_left_do_not_block_each_other(
    users: RunningService, people: People, admin: RoleAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, role, group, published = (
        await people.person(),
        await admin.role("r", "audit:read"),
        new_id(),
        GroupEvents(people.tenant),
    )
    user = UUID(person["id"])

    async def hear(*news: Any) -> None:
        async with users.container.database.transaction() as connection:
            await dispatch(connection, subscriptions(users.container), news)

    await hear(published.users("added", group, 1, user))
    await admin.give(role, group, "Group")
    has_user, go = asyncio.Event(), asyncio.Event()
    begin = session_tokens.begin_session

    async def held(*arguments: Any) -> Any:
        has_user.set()
        await go.wait()
        return await begin(*arguments)

    monkeypatch.setattr(session_tokens, "begin_session", held)
    login = asyncio.create_task(people.try_login(person["userName"], PASSWORD, new_password=NEW))
    await has_user.wait()
    news = asyncio.create_task(hear(published.users("removed", group, 2, user)))
    await waits_for_a_row(users)
    go.set()
    await news
    status, answer = await login
    assert (status, answer["scope"]) == (200, "")


async def waits_for_a_row(users: RunningService) -> None:
    async def probe() -> bool:
        async with users.container.database.connection() as connection:
            query = "SELECT count(*) FROM pg_locks WHERE locktype IN ('transactionid', 'tuple') AND NOT granted"
            return bool(await connection.fetchval(query))

    await eventually(probe, "somebody who waits for a row")


async def test_all_who_log_in_at_once_after_a_change_of_cost_get_in_and_the_hash_is_made_anew(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.person()
    before = await stored(people)
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    async with people.users.container.database.transaction() as connection:
        await connection.execute("UPDATE credentials SET password_hash = $2 WHERE tenant_id = $1", people.tenant, old)
    verified, verify = asyncio.Barrier(4), Passwords.verify

    async def together(self: Passwords, password_hash: str | None, password: str, tenant: str | None) -> bool:
        right = await verify(self, password_hash, password, tenant)
        await verified.wait()
        return right

    monkeypatch.setattr(Passwords, "verify", together)
    logins = await asyncio.gather(*(people.try_login(person["userName"]) for _ in range(4)))
    assert [status for status, _ in logins] == [200] * 4
    after = await stored(people)
    assert after[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert after[1] == before[1]


async def stored(people: People) -> tuple[str, datetime]:
    async with people.users.container.database.connection() as connection:
        query = "SELECT password_hash, changed_at FROM credentials WHERE tenant_id = $1"
        row = await connection.fetchrow(query, people.tenant)
    assert row is not None
    return row["password_hash"], row["changed_at"]


async def test_who_gets_another_password_while_the_old_one_is_made_anew_does_not_get_in(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.person()
    verify = Passwords.verify

    async def slow(self: Passwords, password_hash: str | None, password: str, tenant: str | None) -> bool:
        right = await verify(self, password_hash, password, tenant)
        body = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "password", "value": NEW}]}
        await people.users.client.patch(f"/scim/v2/Users/{person['id']}", headers=people.headers, json=body)
        return right

    monkeypatch.setattr(Passwords, "verify", slow)
    assert (await people.try_login(person["userName"]))[0] == 401


PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
