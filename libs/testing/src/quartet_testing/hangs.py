"""Ends tests that hang: such a test fails with the stacks of all threads and tasks, and the run goes on.

pytest-timeout gives the limit of a test with its fixtures. Its own signal comes once, and not after a failure. Both is
too little: an event loop only logs what a signal raises in a callback, and the end of a failed test may hang too.
"""

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, NoReturn

import pytest

AGAIN: Final = 30.0
"""Seconds until the signal is repeated, and what a failed test has for its end."""
ATTEMPTS: Final = 4
"""Signals before the process ends, which xdist replaces."""
SLOW: Final = 900.0
"""Seconds for a test that is marked as slow."""
IDLE: Final = 600.0
"""Seconds that a process of xdist waits for its next test, or for its end."""


class Limits:
    """The limits of a process that runs tests."""

    def __init__(self, *, waits: bool) -> None:
        self._waits = waits
        """Whether this process gets its tests from another one."""
        self._seconds = 0.0
        self._errors = os.dup(2)
        """Where the last stacks go: a test's own file 2 belongs to pytest, which throws it away with the process."""
        self._rest()

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, settings: Any) -> bool | None:
        """Take the place of pytest-timeout's signal."""
        if settings.method != "signal" or threading.current_thread() is not threading.main_thread():
            return None
        self._start(settings.timeout)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._rest()

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector) -> None:
        """Limit the end of a failed test, whose timers pytest and pytest-timeout stop, unless it is debugged."""
        if isinstance(node, pytest.Item) and self._seconds and not node.config.getoption("usepdb"):
            self._start(AGAIN)

    def _start(self, seconds: float) -> None:
        """Fail the running test after `seconds`, again each AGAIN seconds, and end the process if that is of no use."""
        self._seconds = seconds
        signal.signal(signal.SIGALRM, self._fail)
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
        self._end_after(seconds + ATTEMPTS * AGAIN)

    def _rest(self) -> None:
        """Between tests, and at the end."""
        faulthandler.cancel_dump_traceback_later()
        if self._waits:
            self._end_after(IDLE)

    def _end_after(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._errors)

    def _fail(self, _signum: int, _frame: FrameType | None) -> NoReturn:
        pytest.fail(f"hangs: not done within {self._seconds:g} s\n{stacks()}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests more time, unless they say how much they need."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Limits(waits=hasattr(config, "workerinput")))


def stacks() -> str:
    """Where each other thread is, and each task of the running event loop."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    threads = [
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != own
    ]
    try:
        tasks = [f"task {task.get_name()}: {' > '.join(awaited(task.get_coro()))}" for task in asyncio.all_tasks()]
    except RuntimeError:  # no event loop runs
        tasks = []
    return "\n".join((*threads, *tasks))


def awaited(coroutine: Any) -> Iterator[str]:
    """The functions from `coroutine` to what it waits for, each with its line."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            yield f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
