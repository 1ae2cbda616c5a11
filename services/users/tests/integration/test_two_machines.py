"""Two processes of the service on machines whose clocks differ: what one ends is ended at the other too."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest

from quartet_common.core.caller import Caller
from quartet_common.data.database_clock import DatabaseClock
from quartet_testing.clock import Clock
from quartet_testing.conditions import eventually
from quartet_testing.people import People
from quartet_testing.plugin import ConfigFor
from quartet_testing.roles import RoleAdmin
from quartet_testing.services import RunningService, run_service
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.roles import role_usecases
from quartet_users.roles.role_usecases import Decider


@pytest.fixture
async def machines(
    config_for: ConfigFor[UsersConfig], believing: Callable[[RunningService], None]
) -> AsyncIterator[list[RunningService]]:
    """One whose clock is 30 s ahead, and one whose clock is 30 s behind."""
    async with AsyncExitStack() as stack:
        found = []
        for wrong in (timedelta(seconds=30), timedelta(seconds=-30)):
            clock = Clock()
            clock.ahead = wrong
            service = run_service(SERVICE, config_for(UsersConfig), clock=DatabaseClock(clock))
            running = await stack.enter_async_context(service)
            believing(running)
            found.append(running)
        yield found


async def test_a_token_of_a_machine_that_is_ahead_is_refused_after_a_change_at_one_that_is_behind(
    machines: list[RunningService], people: People, admin: RoleAdmin
) -> None:
    ahead, behind = machines
    person, role = await people.person(), await admin.role("r", "users:read")
    await admin.give(role, person["id"])
    people.users = ahead
    session = await people.log_in(person)
    assert not await session.is_refused()
    who = Decider(Caller(people.tenant, "hr-sync"), frozenset({"tenant:admin"}))
    await role_usecases.take_role(behind.container, who, UUID(role), UUID(person["id"]))

    async def refused() -> bool:
        return await session.is_refused()

    await eventually(refused, "the token to be refused", timeout=5)
    status, answer = await people.refresh(session.tokens["refresh_token"])
    assert (status, answer["scope"]) == (200, "")
    again = await ahead.client.get("/scim/v2/Me", headers={"Authorization": f"Bearer {answer['access_token']}"})
    assert again.status_code == 200
