"""The lockout through Redis: exact over processes, by itself while Redis is away, and nothing to read in it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from quartet_cli.stack import Stack
from quartet_common.config.rate_limit import Limit
from quartet_common.core.errors import LimitedError
from quartet_common.runtime.container import AppContainer
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused, stopped
from quartet_testing.people import PASSWORD, People
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import new_tenant, run_service
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.lockout.lockout import LOGIN, Attempt, Lockout, login_rules
from quartet_users.lockout.lockout_domain import ACCOUNT, ADDRESS, PAIR

HOME, AWAY = "192.0.2.1", "198.51.100.7"

Guards = Callable[[], Lockout]


@pytest.fixture
async def guard(config_for: ConfigFor[UsersConfig]) -> AsyncIterator[Guards]:
    """Makes lockouts as different processes have them."""
    async with AsyncExitStack() as stack:
        config = config_for(UsersConfig)

        @asynccontextmanager
        async def opened(container: AppContainer[UsersConfig]) -> AsyncIterator[None]:
            await container.open()
            yield
            await container.close()

        containers = [AppContainer(config) for _ in range(2)]
        for one in containers:
            await stack.enter_async_context(opened(one))
        made = iter([Lockout(one, LOGIN, login_rules(Limit(50, 3600))) for one in containers * 2])
        yield lambda: next(made)


async def refused(lockout: Lockout, tenant: str, name: str, address: str | None) -> int:
    """The seconds to wait, 0 if the attempt may begin."""
    try:
        await lockout.start_attempt(tenant, name, address)
    except LimitedError as error:
        return int(error.headers["Retry-After"])
    return 0


async def fail(lockout: Lockout, tenant: str, name: str, address: str | None = AWAY) -> int:
    """The seconds to wait that are answered, 0 if the answer is that the password is wrong."""
    try:
        await lockout.failed(await lockout.start_attempt(tenant, name, address))
    except LimitedError as error:
        return int(error.headers["Retry-After"])
    return 0


def begun(lockout: Lockout, tenant: str, name: str, address: str) -> Attempt:
    """An attempt that began before the address had to wait."""
    return Attempt(lockout._keys(tenant, name, address), (PAIR, ACCOUNT, ADDRESS), 0.0, time.monotonic())


async def test_failures_at_all_processes_count_together_and_a_success_ends_them(guard: Guards) -> None:
    tenant, first, second = new_tenant(), guard(), guard()
    assert [await fail(one, tenant, "bjensen") for one in (first, second, first, second, first)] == [0] * 5
    for one in (first, second):
        assert await refused(one, tenant, "bjensen", AWAY) >= 1
        assert await refused(one, tenant, "bjensen", HOME) == 0
        assert await refused(one, new_tenant(), "bjensen", AWAY) == 0
    await first.succeeded(begun(first, tenant, "bjensen", AWAY))
    assert [await fail(one, tenant, "bjensen") for one in (second, first)] == [0, 0]


async def test_of_a_burst_at_two_processes_no_more_are_begun_than_may_run_at_once(guard: Guards) -> None:
    both = first, second = guard(), guard()

    async def burst() -> str | None:
        tenant = new_tenant()
        waits = await asyncio.gather(*(refused(one, tenant, "bjensen", AWAY) for one in both * 40))
        if (
            first._unavailable_until or second._unavailable_until
        ):  # Redis took longer than it may, on a machine that has much to do
            first._unavailable_until = second._unavailable_until = 0.0
            return None
        assert waits.count(0) == 32, waits
        return tenant

    tenant = await eventually(burst, "a burst that Redis keeps up with")
    await asyncio.gather(*(one.failed(begun(one, tenant, "bjensen", AWAY)) for one in both * 16))
    assert await refused(first, tenant, "bjensen", AWAY) > 800


async def test_the_victim_gets_in_from_where_it_was_before_while_others_hammer(guard: Guards) -> None:
    tenant, first, second = new_tenant(), guard(), guard()
    await first.succeeded(await first.start_attempt(tenant, "bjensen", HOME))
    for number in range(40):
        await fail(first, tenant, "bjensen", f"2001:db8:{number}::1")
    assert await refused(second, tenant, "bjensen", HOME) == 0
    assert 0 < await refused(second, tenant, "bjensen", "203.0.113.9") <= 10


async def test_an_ipv6_network_is_one_address(guard: Guards) -> None:
    tenant, lockout = new_tenant(), guard()
    assert [await fail(lockout, tenant, "bjensen", f"2001:db8:7::{number}") for number in range(5)] == [0] * 5
    assert await refused(lockout, tenant, "bjensen", "2001:db8:7::99") > 0
    assert await refused(lockout, tenant, "bjensen", "2001:db8:8::1") == 0


@pytest.mark.parametrize("fault", [stopped, paused])
async def test_while_redis_is_away_each_process_goes_by_what_it_knows_and_tells_it_afterwards(
    guard: Guards, servers: Stack, fault: Any
) -> None:
    tenant, first, second = new_tenant(), guard(), guard()
    assert [await fail(first, tenant, "bjensen") for _ in range(3)] == [0] * 3
    async with fault(servers, "redis"):
        assert [await fail(first, tenant, "bjensen") for _ in range(2)] == [0] * 2
        assert await refused(first, tenant, "bjensen", AWAY) >= 1, "what was known before counts on"
        assert await refused(first, tenant, "bjensen", HOME) == 0
    first._unavailable_until = second._unavailable_until = 0.0
    await fail(first, tenant, "bjensen")  # it may wait, or fail a sixth time: Redis is told either way
    assert await refused(second, tenant, "bjensen", AWAY) >= 1


async def test_in_redis_nothing_says_who_is_meant_and_everything_ends(
    guard: Guards, config_for: ConfigFor[UsersConfig]
) -> None:
    tenant, lockout = new_tenant(), guard()
    container: AppContainer[UsersConfig] = AppContainer(config_for(UsersConfig))
    await container.open()
    try:
        for key in await container.redis.keys("lockout/*"):
            await container.redis.delete(key)
        await fail(lockout, tenant, "bjensen@example.com")
        await lockout.succeeded(await lockout.start_attempt(tenant, "bjensen@example.com", HOME))
        keys: list[Any] = await container.redis.keys("lockout/*")
        assert len(keys) >= 5
        for key in keys:
            kept: Any = await container.redis.get(key)
            text = key + kept
            assert not any(word in text for word in (tenant.encode(), b"bjensen", HOME.encode(), AWAY.encode()))
            assert 0 < await container.redis.ttl(key) <= 30 * 86_400
    finally:
        await container.close()


async def test_a_client_whose_secret_is_tried_out_waits_at_that_address(config_for: ConfigFor[UsersConfig]) -> None:
    changed = config_for(UsersConfig).model_copy(update={"limit_secrets": Limit(3, 600), "limit_refused": None})
    async with run_service(SERVICE, changed) as users:

        async def ask(address: str, secret: str) -> Any:
            client = {"client_id": "quartet-admin", "client_secret": secret}
            form = {"grant_type": "client_credentials", "tenant": "default", **client}
            return await users.client.post("/oauth2/token", form=form, scope_base={"client": (address, 1)})

        [admin] = [one for one in changed.bootstrap_clients.clients if one.client_id == "quartet-admin"]
        right = admin.client_secret.get_secret_value()
        assert [(await ask(AWAY, "wrong")).status_code for _ in range(4)] == [401, 401, 401, 429]
        answer = await ask(AWAY, right)
        assert (answer.status_code, answer.content_type) == (429, "application/json")
        assert (await answer.get_json())["error"] == "too_many_requests"
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await ask(HOME, right)).status_code == 200


async def log_in(people: People, user_name: str, address: str, password: str = PASSWORD) -> Any:
    body = {"tenant": people.tenant, "user_name": user_name, "password": password}
    return await people.users.client.post("/users/login", json=body, scope_base={"client": (address, 1)})


async def test_passwords_that_are_tried_out_are_not_looked_at_any_more_and_the_owner_gets_in(people: People) -> None:
    name = (await people.person())["userName"]
    assert (await log_in(people, name, HOME)).status_code == 200
    tries = [(await log_in(people, name, AWAY, f"a wrong guess {number}")).status_code for number in range(5)]
    assert tries == [401] * 5
    answer = await log_in(people, name.upper(), AWAY)
    assert (answer.status_code, answer.content_type) == (429, "application/problem+json")
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert (await log_in(people, name, HOME)).status_code == 200


async def test_nobody_can_tell_from_the_waits_whether_there_is_such_a_user(people: People) -> None:
    name = (await people.person())["userName"]
    answers: dict[str, list[tuple[int, Any]]] = {}
    for one in (name, f"not-{name}"):
        for _ in range(6):
            answer = await log_in(people, one, AWAY, "a wrong guess")
            answers.setdefault(one, []).append((answer.status_code, await answer.get_json(force=True)))
    assert answers[name] == answers[f"not-{name}"]
    assert [status for status, _ in answers[name]] == [401] * 5 + [429]


async def test_many_concurrent_logins_of_one_user_succeed(people: People) -> None:
    name = (await people.person())["userName"]
    answers = await asyncio.gather(*(log_in(people, name, HOME) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20


async def test_an_old_password_cannot_be_tried_out_with_a_stolen_token(people: People) -> None:
    session = await people.log_in(await people.person())

    async def change(old: str) -> int:
        body = {"old_password": old, "new_password": "another horse, another staple"}
        answer = await people.users.client.post("/users/password", headers=session.headers, json=body)
        return int(answer.status_code)

    assert [await change(f"a wrong guess {number}") for number in range(6)] == [403] * 5 + [429]


async def test_an_address_over_its_limit_gets_the_same_responses_for_known_and_unknown_names(guard: Guards) -> None:
    tenant, first, second = new_tenant(), guard(), guard()
    await first.succeeded(await first.start_attempt(tenant, "bjensen", "203.0.113.50"))
    for number in range(51):
        await fail(first, tenant, f"user {number}", "203.0.113.50")
    for name in ("bjensen", "somebody"):
        for one in (first, second):
            assert await fail(one, tenant, name, "203.0.113.50") > 0, name
    await second.succeeded(
        await second.start_attempt(tenant, "bjensen", "203.0.113.50")
    )  # the right password still gets in


async def test_a_refusal_takes_as_long_as_a_wrong_password_did(guard: Guards) -> None:
    tenant, lockout = new_tenant(), guard()
    for number in range(50):
        await fail(lockout, tenant, f"user {number}", "203.0.113.51")
    slow = await lockout.start_attempt(tenant, "bjensen", HOME)
    await asyncio.sleep(0.3)
    await lockout.failed(slow)
    started = time.monotonic()
    assert await fail(lockout, tenant, "somebody", "203.0.113.51") > 0
    assert time.monotonic() - started >= 0.3


async def test_an_attempt_that_is_released_leaves_nothing_pending(guard: Guards) -> None:
    tenant, lockout = new_tenant(), guard()
    for _ in range(100):
        await lockout.released(await lockout.start_attempt(tenant, "bjensen", "203.0.113.52"))
    assert await refused(lockout, tenant, "bjensen", "203.0.113.52") == 0
