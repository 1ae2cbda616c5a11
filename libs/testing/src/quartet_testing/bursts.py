"""Bursts: many writes at once, and the proof that each of them had its effects exactly once."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from quartet_testing.client import Api, Document
from quartet_testing.conditions import PATIENCE, eventually

CREATED = "users.user.created"


class Burst:
    """Creates `number` users, `at_once` at a time, from now on; every one of them must be answered with 201."""

    def __init__(self, api: Api, number: int, at_once: int = 8) -> None:
        self.created: list[Document] = []
        self._api = api
        self._left = number
        self._task = asyncio.gather(*(self._write() for _ in range(at_once)))

    async def reached(self, number: int) -> None:
        """Wait until that many users were created."""

        async def probe() -> bool:
            return len(self.created) >= number or self._task.done()

        await eventually(probe, f"{number} users", PATIENCE)

    async def done(self) -> list[Document]:
        """The users, when all of them were created."""
        await self._task
        return self.created

    async def _write(self) -> None:
        while self._left > 0:
            self._left -= 1
            self.created.append(await self._api.create_user())


async def arrived_exactly_once(api: Api, users: Sequence[Document], action: str = CREATED) -> None:
    """Wait until `action` of each of `users` is in the audit log and in the metrics: once each, and nothing else.

    The tenant must be the test's own, and nothing of it under way but the events of `users`.
    """
    marker = await api.create_user()  # comes last: what was doubled before would be seen when it is there
    expected = Counter(user["id"] for user in users)
    if action == CREATED:
        expected[marker["id"]] += 1
    assert set(expected.values()) == {1}, "each user once"

    await eventually(lambda: api.entries(resource=marker["id"]), "the last event in the audit log", PATIENCE)

    async def probe() -> bool:
        found = Counter(entry["resource"]["id"] for entry in await api.entries(action=action))
        missing = expected - found
        assert not missing, f"{missing.total()} of {expected.total()} are missing"
        return True

    await eventually(probe, f"all {len(users)} events in the audit log", PATIENCE)
    await api.counted(action, expected.total(), PATIENCE)
    found = Counter(entry["resource"]["id"] for entry in await api.entries(action=action))
    assert found == expected, f"too many: {found - expected}"
