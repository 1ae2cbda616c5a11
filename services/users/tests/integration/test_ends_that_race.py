"""What ends while it is being used: secrets, keys, and attempts that nobody ends."""

import asyncio
from datetime import timedelta

import pytest

from quartet_common.core.clock import utc_now
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_testing.machines import Machines
from quartet_testing.people import PASSWORD, People
from quartet_testing.services import RunningService
from quartet_users.tokens.key_ring import KeyRing


async def test_a_secret_that_is_being_removed_gives_no_token_any_more(
    users: RunningService, made_tenant: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = Machines(users, made_tenant, headers)
    made = await machines.make()
    [secret] = (await machines.read(made))["secrets"]
    revoked, go = asyncio.Event(), asyncio.Event()
    store = UnitOfWork.store

    async def held(work: UnitOfWork) -> None:
        await store(work)
        revoked.set()
        await go.wait()

    monkeypatch.setattr(UnitOfWork, "store", held)
    ending = asyncio.create_task(machines.ask("DELETE", f"/{made['client_id']}/secrets/{secret['id']}"))
    await revoked.wait()
    asking = asyncio.create_task(machines.token(made))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done, "it waits for who removes the secret"
    go.set()
    assert (await ending)[0] == 204
    assert (await asking)[0] == 401


async def test_a_right_password_is_no_guess_whatever_else_is_asked_for(
    users: RunningService, people: People, tenant: str
) -> None:
    person = await people.person()
    async with users.container.database.transaction() as connection:
        await connection.execute("UPDATE credentials SET must_change = true WHERE tenant_id = $1", tenant)
    for _ in range(4):
        assert (await people.try_login(person["userName"], "a wrong password"))[0] == 401
    for _ in range(3):
        assert (await people.try_login(person["userName"]))[0] == 403
    status, _ = await people.try_login(person["userName"], PASSWORD, new_password="quite a long new one")
    assert status == 200


async def test_new_passwords_that_are_refused_are_no_guesses(users: RunningService, people: People) -> None:
    session = await people.log_in(await people.person())

    async def change(password: str) -> int:
        body = {"old_password": PASSWORD, "new_password": password}
        return (await users.client.post("/users/password", headers=session.headers, json=body)).status_code

    assert {await change("short") for _ in range(34)} == {400}
    assert await change("quite a long new one") == 204


async def test_a_process_whose_clock_is_behind_signs_with_the_only_key_there_is(users: RunningService) -> None:
    platform = users.tokens.headers("quartet", ("platform:admin",))
    assert (await users.client.post("/users/keys/rotate?now=true", headers=platform)).status_code == 200
    container = users.container
    secret = container.config.master_key.get_secret_value()
    behind = KeyRing(lambda: container.database, secret, lambda: utc_now() - timedelta(seconds=2), 600)
    assert (await behind.signing_pair()).id
