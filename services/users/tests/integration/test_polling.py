"""Polling by meta.lastModified over HTTP: a client that goes on from the newest time it was shown misses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from quartet_testing.client import USER, USERS, Document
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant
from quartet_users.users import user_store
from quartet_users.users.user_domain import change

BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BEGINNING = "2020-01-01T00:00:00.000Z"
ORDERS = [{}, {"sortBy": "meta.lastModified"}, {"sortBy": "meta.lastModified", "sortOrder": "descending"}]

Headers = dict[str, str]


class Poller:
    """A client that asks for what was changed after the newest time that it was shown."""

    def __init__(self, users: RunningService, headers: Headers, **order: str) -> None:
        self._users, self._headers, self._order = users, headers, order
        self.newest = BEGINNING
        self.seen: dict[str, str] = {}
        """The version of each user as it was shown last."""

    async def poll(self) -> list[str]:
        """What is new, by all pages of one question: the ids as they come."""
        asked = {"filter": f'meta.lastModified gt "{self.newest}"', "cursor": "", "count": "50", **self._order}
        found: list[Document] = []
        while True:
            answer = await self._users.client.get(USERS, headers=self._headers, query_string=asked)
            page = await answer.get_json(force=True)
            assert answer.status_code == 200, page
            found += page["Resources"]
            if "nextCursor" not in page:
                break
            asked["cursor"] = page["nextCursor"]
        self.seen |= {one["id"]: one["meta"]["version"] for one in found}
        self.newest = max([self.newest, *(one["meta"]["lastModified"] for one in found)])
        return [one["id"] for one in found]

    async def everything(self) -> dict[str, str]:
        """What the directory holds, as `seen` has it."""
        users: dict[str, str] = {}
        cursor: str | None = ""
        while cursor is not None:
            query = {"cursor": cursor, "count": "200"}
            answer = await self._users.client.get(USERS, headers=self._headers, query_string=query)
            page = await answer.get_json(force=True)
            users |= {one["id"]: one["meta"]["version"] for one in page["Resources"]}
            cursor = page.get("nextCursor")
        return users


async def post(users: RunningService, headers: Headers, name: str) -> Document:
    answer = await users.client.post(USERS, headers=headers, json={"schemas": [USER], "userName": name})
    assert answer.status_code == 201
    made: Document = await answer.get_json(force=True)
    return made


async def write(users: RunningService, headers: Headers, number: int) -> None:
    """A writer: Bulks, single users, and changes of some of them."""
    for turn in range(3):
        operations = [
            {"method": "POST", "path": "/Users", "bulkId": str(one), "data": {"schemas": [USER], "userName": name}}
            for one, name in enumerate(f"bulk-{number}-{turn}-{one}" for one in range(60))
        ]
        bulk = {"schemas": [BULK], "Operations": operations}
        assert (await users.client.post("/scim/v2/Bulk", headers=headers, json=bulk)).status_code == 200
        for one in range(10):
            made = await post(users, headers, f"u-{number}-{turn}-{one}")
            operation = {"op": "replace", "path": "title", "value": "Guide"}
            body = {"schemas": [PATCH], "Operations": [operation]}
            await users.client.patch(f"{USERS}/{made['id']}", headers=headers, json=body)


@pytest.mark.parametrize("order", ORDERS, ids=["no order", "ascending", "descending"])
async def test_a_poller_misses_nothing_beside_writers_and_bulks(
    users: RunningService, headers: Headers, order: dict[str, str]
) -> None:
    poller = Poller(users, headers, **order)
    writing = asyncio.gather(*(write(users, headers, number) for number in range(5)))
    while not writing.done():
        await poller.poll()
    await writing
    whole = await poller.everything()
    assert len(whole) == 5 * 3 * 70

    async def caught_up() -> bool:
        return await poller.poll() == []

    await eventually(caught_up, "a poll that finds nothing new")
    assert {user: version for user, version in whole.items() if poller.seen.get(user) != version} == {}


@asynccontextmanager
async def changing(users: RunningService, tenant: str, user: Document) -> AsyncIterator[None]:
    """A change of a user that is not committed before the end of the block."""
    async with users.container.database.transaction() as connection:
        before = await user_store.lock_user(connection, tenant, UUID(user["id"]))
        assert before is not None
        after, _ = change(before, {**before.attributes, "title": "Guide"}, users.container.clock())
        assert await user_store.update_user(connection, tenant, after)
        yield


async def test_what_is_newer_than_a_running_write_is_shown_after_it(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    poller, stranger = Poller(users, headers), users.tokens.headers(new_tenant(), ["users:read", "users:write"])
    slow, old = [await post(users, headers, name) for name in ("slow", "old")]
    assert await settled(poller, old) == [slow["id"], old["id"]]
    async with changing(users, tenant, slow):
        newer = await post(users, headers, "newer")
        other = await post(users, stranger, "of another tenant")
        assert await settled(Poller(users, stranger), other) == [other["id"]]
        await eventually_later(users, newer)
        assert await poller.poll() == []
        assert await Poller(users, headers).poll() == [slow["id"], old["id"]]
        text = f'id eq "{newer["id"]}" or not (meta.lastModified gt "{BEGINNING}")'
        assert [await total(users, headers, **query) for query in ({"filter": text}, {})] == [0, 3]
    assert await settled(poller, newer) == [slow["id"], newer["id"]]
    assert await total(users, headers, filter=text) == 1


async def test_a_write_that_is_rolled_back_holds_nothing_back_any_more(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    slow = await post(users, headers, "slow")
    with contextlib.suppress(LookupError):
        async with changing(users, tenant, slow):
            made = await post(users, headers, "a")
            raise LookupError
    assert await settled(Poller(users, headers), made) == [slow["id"], made["id"]]


async def test_a_new_user_has_one_time_which_is_postgresqls(users: RunningService, headers: Headers) -> None:
    async with users.container.database.connection() as connection:
        before = await connection.fetchval("SELECT clock_timestamp()")
        made = await post(users, headers, "a")
        row = await connection.fetchrow("SELECT created_at, modified_at FROM users WHERE id::text = $1", made["id"])
        after = await connection.fetchval("SELECT clock_timestamp()")
    assert row is not None
    assert before < row["created_at"] == row["modified_at"] < after
    read = await users.client.get(f"{USERS}/{made['id']}", headers=headers)
    assert (await read.get_json(force=True))["meta"] == made["meta"]
    assert made["meta"]["created"] == made["meta"]["lastModified"]


async def total(users: RunningService, headers: Headers, **query: str) -> int:
    answer = await users.client.get(USERS, headers=headers, query_string=query)
    return int((await answer.get_json(force=True))["totalResults"])


async def settled(poller: Poller, last: Document) -> list[str]:
    """What a poll shows once it shows `last`."""
    found: list[str] = []

    async def is_shown() -> bool:
        found.extend(await poller.poll())
        return last["id"] in found

    await eventually(is_shown, "the last user in a poll")
    return found


async def eventually_later(users: RunningService, made: Document) -> None:
    """Wait until the millisecond in which `made` was made is over."""

    async def is_over() -> Any:
        async with users.container.database.connection() as connection:
            query = "SELECT clock_timestamp() > $1::text::timestamptz + interval '2 milliseconds'"
            return await connection.fetchval(query, made["meta"]["lastModified"])

    await eventually(is_over, "a later millisecond")
