"""The lock of a stack: one command at a time changes it."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from quartet_cli.bringup import Report
from quartet_cli.layout import Home


@contextmanager
def exclusive(home: Home, report: Report) -> Iterator[None]:
    """Wait for other commands of the stack; the kernel releases the lock if its process ends."""
    home.prepare()
    with os.fdopen(os.open(home.run / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("quartet", "waiting for another command on this stack")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore further Ctrl-C inside the block, which cleans up after the first one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
