"""Readiness: names what is down, and does not wait for it."""

import asyncio

from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.readiness import CHECK_TIMEOUT, Readiness
from quartet_testing.stopwatch import stopwatch


async def good() -> bool:
    return True


async def bad() -> bool:
    return False


async def away() -> bool:
    raise UnavailableError("postgresql", problem="is read-only")


async def silent() -> bool:
    await asyncio.Event().wait()
    return True


async def test_it_is_ready_when_all_checks_pass() -> None:
    assert await Readiness({"a": good, "b": good}, asyncio.Event()).report() == (
        {"status": "ready", "checked": ["a", "b"]},
        200,
    )


async def test_what_is_down_is_named() -> None:
    report = await Readiness({"a": good, "b": bad, "c": away}, asyncio.Event()).report()
    assert report == (
        {"status": "not ready", "down": ["b", "c"], "reasons": {"b": "is not ready", "c": "is read-only"}},
        503,
    )


async def test_checks_that_do_not_answer_are_down_and_waited_for_once() -> None:
    async with stopwatch() as watch:
        report = await Readiness({"a": silent, "b": silent, "c": silent}, asyncio.Event()).report()
    reasons = dict.fromkeys("abc", "does not answer")
    assert report == ({"status": "not ready", "down": ["a", "b", "c"], "reasons": reasons}, 503)
    assert watch.seconds < 2 * CHECK_TIMEOUT


async def test_a_process_that_stops_is_not_ready_though_all_is_well() -> None:
    stopping = asyncio.Event()
    stopping.set()
    readiness = Readiness({"a": good}, stopping)
    assert await readiness.report() == ({"status": "stopping", "down": [], "reasons": {}}, 503)


async def test_failures_of_logging_are_a_detail_and_take_no_readiness_away() -> None:
    failures = {"outbox": "7 events wait"}
    readiness = Readiness({"a": good}, asyncio.Event(), lambda: {"logging_failures": failures, "paused": {}})
    expected = {"status": "ready", "checked": ["a"], "logging_failures": {"outbox": "7 events wait"}}
    assert await readiness.report() == (expected, 200)
    failures.clear()
    assert await readiness.report() == ({"status": "ready", "checked": ["a"]}, 200)


async def test_requests_at_the_same_time_share_one_check() -> None:
    running, go_on = 0, asyncio.Event()

    async def counted() -> bool:
        nonlocal running
        running += 1
        await go_on.wait()
        return True

    readiness = Readiness({"a": counted}, asyncio.Event())
    reports = [asyncio.create_task(readiness.report()) for _ in range(50)]
    await asyncio.sleep(0)
    reports[0].cancel()  # the client that asked first disconnects
    await asyncio.sleep(0)
    go_on.set()
    assert [status for _, status in await asyncio.gather(*reports[1:])] == [200] * 49
    assert running == 1
    await readiness.report()
    assert running == 2
