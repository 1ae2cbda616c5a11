"""Fair shares: nobody uses more than its share, free units go around in turn, and refusals say why."""

import asyncio
import random
import time
from collections import Counter

import pytest

from quartet_common.core.fair_share import CAPACITY, SHARE, CapacityExceededError, FairShare, ShareExceededError


def share_of(capacity: int = 4, share: int = 2, *, queue: int = 100, timeout: float = 5.0) -> FairShare:
    return FairShare("units", capacity, share, queue=queue, timeout=timeout)


async def let_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_holder_at_its_share_waits_while_another_gets_what_is_free() -> None:
    shares = share_of()
    await shares.acquire("a")
    await shares.acquire("a")
    third = asyncio.create_task(shares.acquire("a"))
    await let_run()
    assert not third.done()
    assert await asyncio.wait_for(shares.acquire("b"), 1) == 1
    shares.release("a")
    assert await asyncio.wait_for(third, 1) == 1
    assert shares.used == 3


async def test_room_is_demanded_as_it_is_acquired_but_nothing_is_taken() -> None:
    shares = share_of(capacity=2, share=1, queue=1)
    shares.require_queue_space("a")
    await shares.acquire("a")
    shares.require_queue_space("a")  # it would wait
    waiting = asyncio.create_task(shares.acquire("a"))
    await let_run()
    with pytest.raises(ShareExceededError):
        shares.require_queue_space("a")
    shares.require_queue_space("b")
    assert (shares.used, shares.waiting, shares.refusals[SHARE]) == (1, 1, 1)
    shares.release("a")
    assert await asyncio.wait_for(waiting, 1) == 1


async def test_free_units_go_to_the_holders_in_turn_however_long_one_queue_is() -> None:
    shares, order = share_of(capacity=1, share=1), list[str]()
    await shares.acquire("first")

    async def use(holder: str) -> None:
        async with shares.hold(holder):
            order.append(holder)
            await asyncio.sleep(0)

    many = [asyncio.create_task(use("many")) for _ in range(20)]
    await let_run()
    one = asyncio.create_task(use("one"))
    await let_run()
    shares.release("first")
    await asyncio.gather(one, *many)
    assert order.index("one") <= 1
    assert Counter(order) == {"many": 20, "one": 1}
    assert (shares.used, shares.waiting, shares.holders) == (0, 0, 0)


async def test_within_a_holder_urgent_requests_come_first_and_other_holders_keep_their_turn() -> None:
    shares, order = share_of(capacity=1, share=1), list[str]()
    await shares.acquire("first")

    async def use(holder: str, name: str, *, urgent: bool = False) -> None:
        async with shares.hold(holder, urgent=urgent):
            order.append(name)

    tasks = [asyncio.create_task(use("a", f"write {n}")) for n in range(2)]
    tasks.append(asyncio.create_task(use("b", "b's write")))
    tasks += [asyncio.create_task(use("a", f"login {n}", urgent=True)) for n in range(2)]
    await let_run()
    shares.release("first")
    await asyncio.gather(*tasks)
    assert order == ["login 0", "b's write", "login 1", "write 0", "write 1"]


async def test_a_full_queue_is_refused_at_once_with_429_and_counted() -> None:
    shares = share_of(capacity=4, share=1, queue=1)
    await shares.acquire("a")
    waiting = asyncio.create_task(shares.acquire("a"))
    await let_run()
    with pytest.raises(ShareExceededError) as refused:
        await shares.acquire("a")
    assert (refused.value.status, refused.value.code) == (429, "share_exceeded")
    assert refused.value.headers == {"Retry-After": "1"}
    assert "units" in refused.value.detail
    assert shares.refusals == {SHARE: 1, CAPACITY: 0}
    shares.release("a")
    await waiting


async def test_a_wait_that_is_too_long_says_whether_the_own_share_or_the_capacity_was_used_up() -> None:
    shares = share_of(capacity=2, share=1, timeout=0.01)
    await shares.acquire("a")
    with pytest.raises(ShareExceededError):
        await shares.acquire("a")
    await shares.acquire("b")
    with pytest.raises(CapacityExceededError) as refused:
        await shares.acquire("c")
    assert (refused.value.status, refused.value.code) == (503, "capacity_exceeded")
    assert shares.refusals == {SHARE: 1, CAPACITY: 1}
    assert (shares.used, shares.waiting, shares.holders) == (2, 0, 2)


async def test_an_amount_above_the_share_takes_the_whole_share() -> None:
    shares = share_of(capacity=10, share=4)
    assert await shares.acquire("a", 1000) == 4
    shares.release("a", 4)
    assert shares.used == 0


async def test_small_requests_do_not_keep_a_large_one_waiting_forever() -> None:
    shares = share_of(capacity=4, share=4)
    await shares.acquire("a", 3)
    large = asyncio.create_task(shares.acquire("b", 4))
    await let_run()
    small = asyncio.create_task(shares.acquire("c", 1))
    await let_run()
    assert not small.done()
    shares.release("a", 3)
    assert await asyncio.wait_for(large, 1) == 4
    shares.release("b", 4)
    assert await asyncio.wait_for(small, 1) == 1


async def test_a_cancelled_wait_leaves_nothing_behind_even_in_the_moment_it_is_granted() -> None:
    shares = share_of(capacity=1, share=1)
    await shares.acquire("a")
    waiting = asyncio.create_task(shares.acquire("b"))
    await let_run()
    shares.release("a")  # granted to b, which has not run since
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (shares.used, shares.waiting, shares.holders) == (0, 0, 0)


async def test_units_that_come_free_after_a_wait_was_cancelled_go_to_the_next() -> None:
    shares = share_of(capacity=1, share=1)
    await shares.acquire("a")
    cancelled, next_one = (asyncio.create_task(shares.acquire(holder)) for holder in "bc")
    await let_run()
    cancelled.cancel()
    shares.release("a")  # before the cancelled task has run
    assert await asyncio.wait_for(next_one, 1) == 1
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    shares.release("c")
    assert (shares.used, shares.waiting, shares.holders) == (0, 0, 0)


async def test_whatever_comes_in_whatever_order_the_limits_hold_and_everything_is_given_back() -> None:
    chance = random.Random(7)  # noqa: S311  # nothing is secret here
    shares = FairShare("units", 10, 4, queue=1000, timeout=5.0)
    used: Counter[str] = Counter()

    async def use(holder: str, amount: int) -> None:
        taken = await shares.acquire(holder, amount, urgent=chance.random() < 0.3)
        used[holder] += taken
        assert used[holder] <= 4
        assert sum(used.values()) <= 10
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        used[holder] -= taken
        shares.release(holder, taken)

    tasks = [asyncio.create_task(use(chance.choice("abcde"), chance.randrange(1, 6))) for _ in range(500)]
    for task in chance.sample(tasks, 100):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not [one.exception() for one in tasks if not one.cancelled() and one.exception()]
    assert (shares.used, shares.waiting, shares.holders) == (0, 0, 0)


async def test_units_that_are_granted_in_the_moment_in_which_the_time_is_up_are_used() -> None:
    shares = share_of(capacity=1, share=1, timeout=0.05)
    await shares.acquire("a")
    waiting = asyncio.create_task(shares.acquire("b"))
    await let_run()
    asyncio.get_running_loop().call_later(0.01, shares.release, "a")
    time.sleep(0.1)  # noqa: ASYNC251  # the event loop then runs both timers at once
    assert await waiting == 1
    assert shares.used == 1
    assert shares.refusals == {SHARE: 0, CAPACITY: 0}


async def test_take_takes_what_fits_although_others_wait_and_never_waits_itself() -> None:
    shares = share_of(capacity=10, share=4)
    assert shares.take("a", 2) == 2
    waiting = asyncio.create_task(shares.acquire("a", 3))
    await let_run()
    assert shares.take("a", 1) == 1
    with pytest.raises(ShareExceededError):
        shares.take("a", 2)
    assert (shares.take("b", 4), shares.take("c", 3)) == (4, 3)
    with pytest.raises(CapacityExceededError):
        shares.take("d", 1)
    assert (shares.used, shares.holders, shares.refusals) == (10, 3, {SHARE: 1, CAPACITY: 1})
    shares.release("c", 3)
    shares.release("a", 2)
    assert await asyncio.wait_for(waiting, 1) == 3


async def test_a_wait_cancelled_in_the_same_turn_as_its_grant_gives_the_units_to_the_next_waiter() -> None:
    for order in ("release first", "cancel first"):
        shares = share_of(capacity=2, share=2)
        await shares.acquire("a", 2)
        cancelled, next_one = (asyncio.create_task(shares.acquire("a", 2)) for _ in range(2))
        await let_run()
        if order == "release first":
            shares.release("a", 2)
        cancelled.cancel()
        if order == "cancel first":
            shares.release("a", 2)
        assert await asyncio.wait_for(next_one, 1) == 2
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        shares.release("a", 2)
        assert (shares.used, shares.waiting, shares.holders) == (0, 0, 0)


async def test_a_cancelled_wait_does_not_forget_units_that_its_holder_has_acquired_since() -> None:
    shares = share_of(capacity=1, share=1)
    await shares.acquire("a")
    waiting = asyncio.create_task(shares.acquire("a"))
    await let_run()
    waiting.cancel()
    shares.release("a")
    shares.release("a", await shares.acquire("a"))  # the cancelled task has not run since
    await shares.acquire("a")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    shares.release("a")
    assert (shares.used, shares.waiting, shares.holders) == (0, 0, 0)


def test_a_share_larger_than_the_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 1 to 4, got 5"):
        FairShare("units", 4, 5, queue=1, timeout=1)
