"""Pauses before answers 429: whose answers wait, how many, and until when."""

import asyncio

import pytest

from quartet_common.config.rate_limit import Limit
from quartet_common.core.fair_share import HOLDER
from quartet_common.web import pauses
from quartet_common.web.pauses import Pauses

FREE = 3
LONG = 3600
"""Seconds that no test outlives."""


@pytest.fixture(autouse=True)
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few answers without a pause, and pauses that never time out."""
    monkeypatch.setattr(pauses, "AT_ONCE", Limit(FREE, LONG))
    monkeypatch.setattr(pauses, "PAUSE", LONG)


def refusals(tested: Pauses, holder: str, number: int) -> list[asyncio.Task[None]]:
    async def one() -> None:
        HOLDER.set(holder)
        await tested.pause()

    return [asyncio.create_task(one()) for _ in range(number)]


async def let_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_answers_of_each_tenant_do_not_wait_and_the_others_wait_until_the_process_stops() -> None:
    stopping = asyncio.Event()
    tested = Pauses(stopping)
    many, few = refusals(tested, "many", FREE + 4), refusals(tested, "few", FREE)
    await let_run()
    assert [one.done() for one in many] == [True] * FREE + [False] * 4
    assert all(one.done() for one in few)
    assert tested.running == 4
    stopping.set()
    await asyncio.wait_for(asyncio.gather(*many), 10)
    assert tested.running == 0


async def test_a_pause_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "PAUSE", 0.01)
    await asyncio.wait_for(asyncio.gather(*refusals(Pauses(asyncio.Event()), "a", FREE + 1)), 10)


async def test_so_many_answers_of_a_process_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "MOST", 2)
    tested = Pauses(asyncio.Event())
    tasks = refusals(tested, "a", FREE + 5)
    await let_run()
    waiting = [one for one in tasks if not one.done()]
    assert len(waiting) == tested.running == 2
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    assert tested.running == 0
