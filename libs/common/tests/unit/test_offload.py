"""Large work: in a thread or in slices."""

import threading

import pytest

from quartet_common.core.offload import LARGE_BODY, slices, work_on


@pytest.mark.parametrize(("size", "in_thread"), [(LARGE_BODY - 1, False), (LARGE_BODY, True)])
async def test_a_large_body_is_worked_on_in_a_thread_and_a_small_one_at_once(size: int, in_thread: bool) -> None:
    worker = await work_on(b"x" * size, lambda body: (threading.get_ident(), len(body)))
    assert worker[1] == size
    assert (worker[0] != threading.get_ident()) is in_thread


def test_slices_hold_everything_once_and_in_order() -> None:
    assert [list(some) for some in slices(list(range(7)), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(slices([], 3)) == []
