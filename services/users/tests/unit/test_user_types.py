"""What is kept of tenants' User types: bounded, and read again when it is old or something unknown is named."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quartet_scim.schema import Attribute, Schema
from quartet_users.tenant_schemas import schema_store, user_types
from quartet_users.tenant_schemas.user_types import FRESH, UserTypes

URN = "urn:example:Badge"
BADGE = Schema(URN, "Badge", "", (Attribute("number"),))


class FakeDatabase:
    """The schemas of each tenant, in memory; `asked` counts the looks."""

    def __init__(self) -> None:
        self.schemas: dict[str, list[Schema]] = {}
        self.asked = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["FakeDatabase"]:
        """Itself."""
        yield self

    async def read_version(self, connection: Any, tenant: str) -> int:
        """How many schemas there are."""
        assert connection is self
        self.asked += 1
        await asyncio.sleep(0)
        return len(self.schemas.get(tenant, []))

    async def read_schemas(self, connection: Any, tenant: str) -> list[Schema]:
        """The schemas."""
        assert connection is self
        found: list[Schema] = self.schemas.get(tenant, [])
        return found


class Clock:
    """A time that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """What stands in the place of the SQL."""
    fake = FakeDatabase()
    monkeypatch.setattr(schema_store, "read_version", fake.read_version)
    monkeypatch.setattr(schema_store, "read_schemas", fake.read_schemas)
    return fake


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def types(database: FakeDatabase, clock: Clock) -> UserTypes:
    """The types of tenants."""
    return UserTypes(lambda: database, clock)  # type: ignore[arg-type, return-value]  # a fake


def names(found: Any) -> list[str]:
    return [schema.id for schema in found.resource_type.extensions]


async def test_within_a_moment_the_database_is_asked_once(
    types: UserTypes, database: FakeDatabase, clock: Clock
) -> None:
    first = await types.of("acme")
    clock.now = FRESH
    assert await types.of("acme", [first.resource_type.schema.id]) is first
    assert database.asked == 1
    clock.now = FRESH + 0.1
    assert await types.of("acme") is first  # nothing was compiled again
    assert database.asked == 2


async def test_what_is_new_is_seen_after_a_moment_or_at_once_when_it_is_named(
    types: UserTypes, database: FakeDatabase, clock: Clock
) -> None:
    await types.of("acme")
    database.schemas["acme"] = [BADGE]
    assert URN not in names(await types.of("acme"))
    assert URN in names(await types.of("acme", [f"{URN.upper()}:number"]))
    database.schemas["acme"] = []
    assert URN in names(await types.of("acme"))
    clock.now = FRESH + 0.1
    assert URN not in names(await types.of("acme"))


async def test_what_was_changed_here_is_read_again(types: UserTypes, database: FakeDatabase) -> None:
    await types.of("acme")
    database.schemas["acme"] = [BADGE]
    types.forget("acme")
    assert URN in names(await types.of("acme"))
    assert URN not in names(await types.of("another"))


async def test_what_is_current_is_compiled_anew_only_if_it_was_changed(
    types: UserTypes, database: FakeDatabase
) -> None:
    database.schemas["acme"] = [BADGE]
    first = await types.of("acme")
    assert await types.current("acme") is first
    assert database.asked == 2
    database.schemas["acme"] = []
    assert URN not in names(await types.current("acme"))


async def test_many_who_ask_at_once_need_no_look_each(database: FakeDatabase) -> None:
    types = UserTypes(lambda: database)  # type: ignore[arg-type, return-value]  # a fake
    database.schemas["acme"] = [BADGE]
    found = await asyncio.gather(*(types.current("acme") for _ in range(20)))
    assert all(one is found[0] for one in found)
    assert database.asked <= 2


async def test_the_tenants_that_were_not_asked_for_longest_are_forgotten(
    database: FakeDatabase, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_types, "KEPT", 2)
    types = UserTypes(lambda: database, clock)  # type: ignore[arg-type, return-value]  # a fake
    for tenant in ("a", "b", "a", "c", "a"):
        await types.of(tenant)
    assert database.asked == 3
    await types.of("b")
    assert database.asked == 4
