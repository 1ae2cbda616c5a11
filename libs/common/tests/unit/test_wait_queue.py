"""Wait queues: commands that wait for a lock try one at a time, and give up."""

import asyncio

import pytest

from quartet_common.core.errors import HeldError
from quartet_common.data import wait_queue
from quartet_common.data.wait_queue import WaitQueues


class Lock:
    """Held by somebody else until it is freed; sees how many try at once."""

    def __init__(self) -> None:
        self.is_held = True
        self.tries = 0
        self.at_once = 0
        self.most = 0

    async def use(self) -> int:
        self.tries += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.is_held:
            raise HeldError("postgresql")
        return self.tries


async def tried(lock: Lock, times: int) -> None:
    while lock.tries < times:  # noqa: ASYNC110  # nothing else happens in this loop
        await asyncio.sleep(0)


async def test_of_many_who_wait_one_tries_at_a_time_and_all_get_it_in_the_end() -> None:
    queues, lock = WaitQueues(), Lock()
    first = asyncio.create_task(queues.run("a", lock.use))
    await tried(lock, 1)
    waiting = [asyncio.create_task(queues.run("a", lock.use)) for _ in range(20)]
    lock.most = 0
    await tried(lock, 4)
    assert lock.most == 1
    assert not any(one.done() for one in (first, *waiting))
    lock.is_held = False
    assert len(await asyncio.gather(first, *waiting)) == 21
    assert lock.most == 1


async def test_nobody_waits_for_what_others_need() -> None:
    queues, held, free = WaitQueues(), Lock(), Lock()
    free.is_held = False
    waiting = asyncio.create_task(queues.run("a", held.use))
    await tried(held, 2)
    assert await queues.run("b", free.use) == 1
    waiting.cancel()


async def test_whoever_has_waited_too_long_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait_queue, "WAIT_TIMEOUT", 0.02)
    queues, lock = WaitQueues(), Lock()
    ended = await asyncio.gather(*(queues.run("a", lock.use) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in ended] == [HeldError] * 3
    lock.is_held = False
    assert await queues.run("a", lock.use)


async def test_once_it_is_free_those_who_come_do_not_stand_in_line() -> None:
    queues, lock = WaitQueues(), Lock()
    waiting = [asyncio.create_task(queues.run("a", lock.use)) for _ in range(2)]
    await tried(lock, 3)
    lock.is_held = False
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    lock.most = 0
    await asyncio.gather(*(queues.run("a", lock.use) for _ in range(5)))
    assert lock.most > 1
    await asyncio.gather(*waiting)
