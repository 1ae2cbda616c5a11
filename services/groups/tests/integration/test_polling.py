"""Polling groups by meta.lastModified over HTTP, changes of members included: nothing is missed."""

import asyncio
from typing import Any
from uuid import UUID

from quartet_groups import group_store, member_store
from quartet_testing.conditions import eventually

BEGINNING = "2020-01-01T00:00:00.000Z"


class Poller:
    """A client that asks for what was changed after the newest time that it was shown."""

    def __init__(self, own: Any) -> None:
        self._own = own
        self.newest = BEGINNING
        self.seen: dict[str, str] = {}

    async def poll(self) -> list[UUID]:
        """What is new, by all pages of one question."""
        asked = {"filter": f'meta.lastModified gt "{self.newest}"', "cursor": "", "count": "20"}
        found: list[Any] = []
        while True:
            answer = await self._own.service.client.get(
                "/scim/v2/Groups", headers=self._own.headers, query_string={**asked, "excludedAttributes": "members"}
            )
            page = await answer.get_json(force=True)
            assert answer.status_code == 200, page
            found += page["Resources"]
            if "nextCursor" not in page:
                break
            asked["cursor"] = page["nextCursor"]
        self.seen |= {one["id"]: one["meta"]["version"] for one in found}
        self.newest = max([self.newest, *(one["meta"]["lastModified"] for one in found)])
        return [UUID(one["id"]) for one in found]

    async def caught_up(self) -> bool:
        """Whether a poll finds nothing new."""
        return await self.poll() == []


async def test_a_poller_misses_no_change_of_groups_and_their_members(own: Any, directory: Any, tenant: str) -> None:
    users = [directory.add(tenant, f"user{number}") for number in range(40)]
    poller = Poller(own)

    async def write(number: int) -> list[UUID]:
        made = []
        for turn in range(6):
            group = await own.make(name=f"g{number}-{turn}")
            inner = await own.make(*users, name=f"inner{number}-{turn}")
            for change in (("add", users[number]), ("add", inner), ("remove", users[number])):
                assert (await own.patch(group, change[0], change[1])).status_code == 200
            if turn % 2:
                assert await own.delete(inner) == 204
            made.append(group)
        return made

    writing = asyncio.gather(*(write(number) for number in range(6)))
    while not writing.done():
        await poller.poll()
    made = [group for groups in await writing for group in groups]
    await eventually(poller.caught_up, "a poll that finds nothing new")
    versions = {str(group): (await own.read(group))["meta"]["version"] for group in made}
    assert {group: version for group, version in versions.items() if poller.seen.get(group) != version} == {}


async def test_a_group_that_is_newer_than_a_running_change_of_members_is_shown_after_it(
    own: Any, directory: Any, tenant: str
) -> None:
    user, group = directory.add(tenant), await own.make()
    poller = Poller(own)

    async def shows_it() -> bool:
        return group in await poller.poll()

    await eventually(shows_it, "the group in a poll")
    async with own.service.container.database.transaction() as connection:
        [locked] = await group_store.lock_groups(connection, tenant, [group])
        await member_store.add_users(connection, tenant, group, [user])
        await group_store.touch_groups(connection, tenant, [locked.next(locked.modified)])
        newer = await own.make(name="newer")
        assert await poller.poll() == []
    shown: list[UUID] = []

    async def shows_both() -> bool:
        shown.extend(await poller.poll())
        return newer in shown

    await eventually(shows_both, "the newer group in a poll")
    assert shown == [group, newer]
