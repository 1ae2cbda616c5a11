"""The notifier of the relay: commits that come together share one NOTIFY, and none is left without one."""

import asyncio
from typing import Any, cast

from quartet_common.data.connections import Pool
from quartet_common.data.outbox_notifier import OutboxNotifier


class RecordingPool:
    """Records the statements that are executed; each waits until the test lets it end."""

    def __init__(self) -> None:
        self.channels: list[str] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def execute(self, _statement: str, channel: str, **_options: float) -> None:
        self.channels.append(channel)
        self.begun.set()
        await self.may_end.wait()


def waker_of(pool: RecordingPool) -> OutboxNotifier:
    return OutboxNotifier(cast(Pool, cast(Any, pool)), "channel")


async def test_commits_within_a_moment_share_one_notify() -> None:
    pool = RecordingPool()
    pool.may_end.set()
    notifier = waker_of(pool)
    for _ in range(5):
        notifier.notify()
        await asyncio.sleep(0)
    await notifier.close()
    assert pool.channels == ["channel"]


async def test_a_commit_after_a_notify_was_sent_gets_another_one() -> None:
    pool = RecordingPool()
    notifier = waker_of(pool)
    notifier.notify()
    await asyncio.wait_for(pool.begun.wait(), 5)
    notifier.notify()  # the NOTIFY that is under way may have been sent before this commit
    pool.may_end.set()
    await notifier.close()
    assert pool.channels == ["channel", "channel"]
