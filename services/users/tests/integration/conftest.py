"""What the integration tests share: the users service on the real servers."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from joserfc.jwk import ECKey

from quartet_common.core.caller import Caller
from quartet_testing.people import People
from quartet_testing.plugin import ConfigFor
from quartet_testing.roles import RoleAdmin
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users import groups_client
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.passwords import password_hashing
from quartet_users.tenants import tenant_domain, tenant_store
from quartet_users.tokens.key_ring import KeyRing

SCOPES = ("users:read", "users:write", "tenant:admin", "events:manage")


@pytest.fixture(scope="session")
async def users(config_for: ConfigFor[UsersConfig]) -> AsyncIterator[RunningService]:
    """The running service, beside a groups service that has no group and answers no search."""
    async with AsyncExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:  # only while the app is made
            patch.setattr(groups_client, "GroupSearchClient", MarkingGroups)
            patch.setattr(password_hashing, "_lower_priority", lambda: None)  # other tests leave little of a processor
            service = await running.enter_async_context(run_service(SERVICE, config_for(UsersConfig)))
        believe_own_tokens(service)
        yield service


class MarkingGroups(groups_client.GroupSearchClient):
    """The groups service, whose marks cost no call."""

    async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:  # noqa: ARG002
        return {}


def believe_own_tokens(running: RunningService) -> None:
    """Have the service believe the tokens that it gives itself, beside those that tests make."""
    config: UsersConfig = running.container.config
    ring = KeyRing(lambda: running.container.database, config.master_key.get_secret_value(), running.container.clock)

    async def find(key_id: str) -> ECKey | None:
        return await running.tokens.find_key(key_id) or await ring.find(key_id)

    running.container.key_finder = find


@pytest.fixture
def believing() -> Callable[[RunningService], None]:
    """`believe_own_tokens`, for services that a test runs itself."""
    return believe_own_tokens


@pytest.fixture
async def people(users: RunningService, tenant: str, headers: dict[str, str]) -> People:
    """The people of the test's own tenant."""
    async with users.container.database.transaction() as connection:
        await tenant_store.insert_tenant(connection, tenant_domain.create(tenant, "", users.container.clock())[0])
    return People(users, tenant, headers)


@pytest.fixture
def tenant() -> str:
    """A tenant of the test's own."""
    return new_tenant()


@pytest.fixture
def headers(users: RunningService, tenant: str) -> dict[str, str]:
    """A token for everything in the tenant."""
    return users.tokens.headers(tenant, SCOPES, actor="hr-sync")


PLATFORM = ("platform:admin",)


@pytest.fixture
def platform(users: RunningService) -> dict[str, str]:
    """A token that may make tenants."""
    return users.tokens.headers("quartet", PLATFORM, actor="operator")


@pytest.fixture
async def made_tenant(users: RunningService, platform: dict[str, str], tenant: str) -> str:
    """The test's tenant, made, so that the token endpoint knows it."""
    answer = await users.client.post("/users/tenants", headers=platform, json={"id": tenant})
    assert answer.status_code == 201, await answer.get_data()
    return tenant


@pytest.fixture
def admin(users: RunningService, tenant: str, headers: dict[str, str]) -> RoleAdmin:
    """The administrator of the test's tenant."""
    return RoleAdmin(users, tenant, headers)
