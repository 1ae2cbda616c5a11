"""Shares of password hashing: a tenant that writes passwords without pause makes no login of another tenant fail."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from quartet_testing.client import USER
from quartet_testing.people import People
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.tenants import tenant_domain, tenant_store

SCOPES = ("users:read", "users:write")
WAITING = 5


@pytest.fixture
async def busy(
    config_for: ConfigFor[UsersConfig],
    believing: Callable[[RunningService], None],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RunningService]:
    """A service in which few passwords of a tenant may wait."""
    defaults = Passwords.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "waiting", WAITING)
    async with run_service(SERVICE, config_for(UsersConfig)) as running:
        believing(running)
        yield running


async def people_of(service: RunningService, tenant: str) -> People:
    async with service.container.database.transaction() as connection:
        await tenant_store.insert_tenant(connection, tenant_domain.create(tenant, "", service.container.clock())[0])
    return People(service, tenant, service.tokens.headers(tenant, SCOPES))


async def test_writes_of_one_tenant_are_refused_at_its_share_and_logins_of_another_are_not(
    busy: RunningService,
) -> None:
    writer, guest = [await people_of(busy, new_tenant()) for _ in range(2)]
    person = await guest.person()
    refusals: set[tuple[str, str]] = set()

    async def write(number: int) -> int:
        body = {"schemas": [USER], "userName": f"user{number}", "password": f"correct horse battery {number}"}
        sent = json.dumps(body).encode()
        headers = {**writer.headers, "Content-Type": "application/scim+json", "Content-Length": str(len(sent))}
        answer = await busy.client.post("/scim/v2/Users", headers=headers, data=sent)
        if answer.status_code == 429:
            refusals.add((answer.headers["Retry-After"], (await answer.get_json(force=True))["detail"]))
        return int(answer.status_code)

    writes = [asyncio.create_task(write(number)) for number in range(60)]
    logins = await asyncio.gather(*(guest.try_login(person["userName"]) for _ in range(WAITING)))
    assert [status for status, _ in logins] == [200] * WAITING
    counted = Counter(await asyncio.gather(*writes))
    assert counted.keys() == {201, 429}
    assert counted[201] >= WAITING
    detail = "This tenant already uses its whole share of password hashes. Send fewer requests at a time."
    assert refusals == {("1", detail)}


async def test_logins_at_invented_tenants_take_no_turns_from_real_ones(busy: RunningService) -> None:
    guest = await people_of(busy, new_tenant())
    person = await guest.person()
    strangers = [People(busy, new_tenant(), {}) for _ in range(30)]
    guesses = [asyncio.create_task(one.try_login("bjensen")) for one in strangers]
    assert (await guest.try_login(person["userName"]))[0] == 200
    assert {status for status, _ in await asyncio.gather(*guesses)} <= {401, 429}
