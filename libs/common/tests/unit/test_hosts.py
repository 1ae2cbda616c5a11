"""Hosts: which of several is connected to, and what becomes of the other connections."""

import asyncio

import pytest

from quartet_common.core.hosts import connect_to_first
from quartet_testing.conditions import eventually

LONG = 60.0


class Servers:
    """Connects to hosts by name: `up` accepts, `gone` refuses, `wrong` answers with an error, `silent` does nothing,
    and `late` accepts when it is allowed to.
    """

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.ended: list[str] = []
        self.discarded: list[str] = []
        self.may_accept = asyncio.Event()

    async def connect(self, host: str) -> str:
        self.tried.append(host)
        try:
            await self._answer(host)
        finally:
            self.ended.append(host)
        return host

    async def _answer(self, host: str) -> None:
        if host.startswith("gone"):
            raise ConnectionRefusedError(host)
        if host.startswith("wrong"):
            raise ValueError(host)
        if host.startswith("silent"):
            await asyncio.Event().wait()
        if host.startswith("late"):
            await self.may_accept.wait()

    async def discard(self, connection: str) -> None:
        self.discarded.append(connection)

    async def have_tried(self, number: int) -> None:
        async def probe() -> bool:
            return len(self.tried) == number

        await eventually(probe, f"{number} hosts to be tried")

    async def first(self, *hosts: str, patience: float = LONG) -> str:
        return await asyncio.wait_for(connect_to_first(hosts, self.connect, self.discard, patience), 10)


async def test_the_first_host_that_accepts_is_used_and_later_ones_are_left_alone() -> None:
    servers = Servers()
    assert await servers.first("gone", "up", "up2") == "up"
    assert servers.tried == ["gone", "up"]


async def test_a_host_that_does_not_answer_does_not_keep_the_next_one_from_being_tried() -> None:
    servers = Servers()
    assert await servers.first("silent", "silent2", "up", patience=0.01) == "up"
    assert servers.tried == ["silent", "silent2", "up"]
    assert sorted(servers.ended) == ["silent", "silent2", "up"]


async def test_a_slow_host_is_used_if_it_is_the_only_one_that_accepts() -> None:
    servers = Servers()
    running = asyncio.ensure_future(servers.first("late", "gone", patience=0.01))
    await servers.have_tried(2)
    servers.may_accept.set()
    assert await running == "late"


async def test_a_second_connection_that_was_made_at_the_same_time_is_discarded() -> None:
    servers = Servers()
    running = asyncio.ensure_future(servers.first("late", "late2", patience=0.01))
    await servers.have_tried(2)
    servers.may_accept.set()
    used = await running
    assert servers.discarded == [{"late": "late2", "late2": "late"}[used]]


async def test_if_all_fail_what_a_host_has_answered_says_more_than_that_others_are_away() -> None:
    servers = Servers()
    with pytest.raises(ValueError, match="wrong"):
        await servers.first("gone", "wrong", "gone2")
    with pytest.raises(ConnectionRefusedError, match="gone2"):
        await servers.first("gone", "gone2")


async def test_a_cancelled_attempt_leaves_nothing_behind() -> None:
    servers = Servers()
    running = asyncio.ensure_future(servers.first("silent", "silent2", patience=0.01))
    await servers.have_tried(2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(servers.ended) == ["silent", "silent2"]
