"""What the integration tests share: the groups service on the real servers, beside users that the test decides on."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from quartet_common.errors import UnavailableError
from quartet_common.ids import new_id
from quartet_common.messaging.outbox import Caller
from quartet_groups import clients
from quartet_groups.app import SERVICE
from quartet_groups.clients import KnownUser
from quartet_groups.config import GroupsConfig
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service

SCOPES = ("groups:read", "groups:write", "tenant:admin")


class FakeDirectory:
    """The users of each tenant, in memory; `asked` counts the lookups, `away` makes them fail."""

    def __init__(self) -> None:
        self.users: dict[tuple[str, UUID], KnownUser] = {}
        self.asked = 0
        self.away = False

    def add(self, tenant: str, name: str = "Babs", version: int = 1) -> UUID:
        """A new user of `tenant`."""
        user = KnownUser(new_id(), f"{name.lower()}@example.com", version, name)
        self.users[tenant, user.id] = user
        return user.id

    async def lookup(self, caller: Caller, ids: Sequence[UUID]) -> list[KnownUser]:
        """What UsersClient.lookup does."""
        self.asked += 1
        if self.away:
            raise UnavailableError("users")
        return [self.users[caller.tenant, one] for one in ids if (caller.tenant, one) in self.users]


@pytest.fixture
def directory(groups: RunningService, shared_directory: FakeDirectory) -> FakeDirectory:
    """The users that the groups service can ask for."""
    shared_directory.asked, shared_directory.away = 0, False
    return shared_directory


@pytest.fixture(scope="session")
def shared_directory() -> FakeDirectory:
    """One directory for the one running app."""
    return FakeDirectory()


@pytest.fixture(scope="session")
async def groups(config_for: ConfigFor[GroupsConfig], shared_directory: FakeDirectory) -> AsyncIterator[RunningService]:
    """The running service, whose calls to users reach the fake directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "UsersClient", lambda _: shared_directory)
        async with run_service(SERVICE, config_for(GroupsConfig)) as running:
            yield running


@pytest.fixture
def tenant() -> str:
    """A tenant of the test's own."""
    return new_tenant()


@pytest.fixture
def headers(groups: RunningService, tenant: str) -> dict[str, str]:
    """A token for everything in the tenant."""
    return groups.tokens.headers(tenant, SCOPES, actor="hr-sync")
