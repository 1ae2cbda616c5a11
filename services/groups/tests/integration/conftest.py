"""What the integration tests share: the groups service on the real servers, beside users that the test decides on."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.identifiers import new_id
from quartet_groups import users_client
from quartet_groups.app import SERVICE
from quartet_groups.config import GroupsConfig
from quartet_groups.users_client import KnownUser
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service

CORE = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

SCOPES = ("groups:read", "groups:write", "tenant:admin")


class FakeDirectory:
    """The users of each tenant, in memory; `asked` counts the lookups, `away` makes them fail."""

    def __init__(self) -> None:
        self.users: dict[tuple[str, UUID], KnownUser] = {}
        self.roles: dict[UUID, frozenset[str]] = {}
        self.asked = 0
        self.asked_for_scopes = 0
        self.away = False

    def add(self, tenant: str, name: str = "Babs", version: int = 1, external_id: str | None = None) -> UUID:
        """A new user of `tenant`."""
        user = KnownUser(new_id(), f"{name.lower()}@example.com", version, name, external_id)
        self.users[tenant, user.id] = user
        return user.id

    async def lookup(self, caller: Caller, ids: Sequence[UUID]) -> list[KnownUser]:
        """What UsersClient.lookup does."""
        self.asked += 1
        if self.away:
            raise UnavailableError("users")
        return [self.users[caller.tenant, one] for one in ids if (caller.tenant, one) in self.users]

    async def lookup_names(
        self, caller: Caller, user_names: Sequence[str], external_ids: Sequence[str]
    ) -> list[KnownUser]:
        """What UsersClient.lookup_names does."""
        self.asked += 1
        if self.away:
            raise UnavailableError("users")
        names, ids = {name.lower() for name in user_names}, set(external_ids)
        users = [user for (tenant, _), user in self.users.items() if tenant == caller.tenant]
        return [user for user in users if user.user_name.lower() in names or user.external_id in ids]

    async def scopes_of_groups(self, caller: Caller, groups: Collection[UUID]) -> frozenset[str]:  # noqa: ARG002
        """What UsersClient.scopes_of_groups does; `roles` has the scopes of groups."""
        self.asked_for_scopes += 1
        if self.away:
            raise UnavailableError("users")
        return frozenset[str]().union(*(self.roles.get(one, frozenset()) for one in groups))


@pytest.fixture
def directory(groups: RunningService, shared_directory: FakeDirectory) -> FakeDirectory:
    """The users that the groups service can ask for."""
    shared_directory.asked = shared_directory.asked_for_scopes = 0
    shared_directory.away = False
    return shared_directory


@pytest.fixture(scope="session")
def shared_directory() -> FakeDirectory:
    """One directory for the one running app."""
    return FakeDirectory()


@pytest.fixture(scope="session")
async def groups(config_for: ConfigFor[GroupsConfig], shared_directory: FakeDirectory) -> AsyncIterator[RunningService]:
    """The running service, whose calls to users reach the fake directory."""
    async with AsyncExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:  # only while the app is made: the session has other apps too
            patch.setattr(users_client, "UsersClient", lambda _: shared_directory)
            service = await running.enter_async_context(run_service(SERVICE, config_for(GroupsConfig)))
        yield service


@pytest.fixture
def tenant() -> str:
    """A tenant of the test's own."""
    return new_tenant()


@pytest.fixture
def headers(groups: RunningService, tenant: str) -> dict[str, str]:
    """A token for everything in the tenant."""
    return groups.tokens.headers(tenant, SCOPES, actor="hr-sync")


class OwnGroups:
    """The groups of one tenant, by plain calls; members are ids, or whole documents of a member."""

    def __init__(self, service: RunningService, tenant: str) -> None:
        self.service = service
        self.tenant = tenant
        self.headers = service.tokens.headers(tenant, SCOPES)

    def at(self, tenant: str) -> "OwnGroups":
        """The groups of another tenant."""
        return OwnGroups(self.service, tenant)

    async def make(self, *members: Any, name: str = "g") -> UUID:
        body = {"schemas": [CORE], "displayName": name, "members": documents(members)}
        answer = await self.service.client.post("/scim/v2/Groups", headers=self.headers, json=body)
        assert answer.status_code == 201, await answer.get_data()
        return UUID((await answer.get_json(force=True))["id"])

    async def put(self, group: UUID, *members: Any) -> Any:
        body = {"schemas": [CORE], "displayName": "g", "members": documents(members)}
        return await self.service.client.put(f"/scim/v2/Groups/{group}", headers=self.headers, json=body)

    async def patch(self, group: UUID, op: str, *members: Any, path: str = "members") -> Any:
        operation = {"op": op, "path": path, **({"value": documents(members)} if members else {})}
        body = {"schemas": [PATCH], "Operations": [operation]}
        return await self.service.client.patch(f"/scim/v2/Groups/{group}", headers=self.headers, json=body)

    async def delete(self, group: UUID) -> int:
        return int((await self.service.client.delete(f"/scim/v2/Groups/{group}", headers=self.headers)).status_code)

    async def read(self, group: UUID) -> dict[str, Any]:
        answer = await self.service.client.get(f"/scim/v2/Groups/{group}", headers=self.headers)
        assert answer.status_code == 200
        found: dict[str, Any] = await answer.get_json(force=True)
        return found

    async def members(self, group: UUID) -> set[UUID]:
        return {UUID(one["value"]) for one in (await self.read(group)).get("members", [])}

    async def found(self, text: str) -> set[UUID]:
        query = {"filter": text}
        answer = await self.service.client.get("/scim/v2/Groups", headers=self.headers, query_string=query)
        assert answer.status_code == 200, await answer.get_data()
        return {UUID(one["id"]) for one in (await answer.get_json(force=True))["Resources"]}

    async def published(self) -> list[tuple[str, str, int]]:
        """Type, group and version of the events so far."""
        events = await self.service.outbox(self.tenant)
        return [(event.routing_key, event.subject.removeprefix("groups/"), event.sequence) for event in events]

    async def ask(self, path: str, **query: str) -> Any:
        return await self.service.client.get(f"/groups/{path}", headers=self.headers, query_string=query)

    async def asked(self, path: str, **query: str) -> Any:
        answer = await self.ask(path, **query)
        assert answer.status_code == 200, await answer.get_data()
        return await answer.get_json()

    async def check(self, user: object, group: object) -> tuple[bool, bool, list[str]]:
        """member, direct and the names on the path."""
        found = await self.asked("check", user=str(user), group=str(group))
        assert (found["user"], found["group"]) == (str(user), str(group))
        return found["member"], found["direct"], [step["display"] for step in found["path"]]

    async def check_many(self, pairs: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
        body = {"checks": [{"user": str(user), "group": str(group)} for user, group in pairs]}
        answer = await self.service.client.post("/groups/check", headers=self.headers, json=body)
        assert answer.status_code == 200, await answer.get_data()
        found: list[dict[str, Any]] = (await answer.get_json())["results"]
        return found

    async def groups_of(self, user: UUID) -> dict[UUID, bool]:
        """Group to whether the user is in it directly."""
        found = (await self.asked(f"of/{user}"))["groups"]
        return {UUID(one["value"]): one["direct"] for one in found}


def documents(members: Any) -> list[Any]:
    return [one if isinstance(one, dict) else {"value": str(one)} for one in members]


@pytest.fixture
def own(groups: RunningService, tenant: str, directory: FakeDirectory) -> OwnGroups:
    """The groups of the test's tenant."""
    return OwnGroups(groups, tenant)
