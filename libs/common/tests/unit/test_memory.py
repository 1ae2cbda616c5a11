"""Memory: cycles that large requests leave are collected soon, and nothing is done where there was none."""

import gc
import weakref

from quartet_common.web.memory import Memory


class Node:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_large_requests_have_left_is_collected_once() -> None:
    memory = Memory()
    gc.collect()
    gc.disable()
    try:
        left = weakref.ref(Node())
        await memory.release()
        assert left() is not None
        memory.requests += 1
        await memory.release()
        assert left() is None
        left = weakref.ref(Node())
        await memory.release()
        assert left() is not None
    finally:
        gc.enable()
