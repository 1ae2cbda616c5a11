"""Batches of events of applications: what reading one costs in memory, however it is made."""

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from quartet_audit.applications.application_event_domain import ApplicationEvent
from quartet_audit.applications.application_event_parameters import read_batch
from quartet_common.core.errors import BadRequestError

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
MEBIBYTE = 1024 * 1024


def event(**members: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/shop", "type": "paid", **members}


@pytest.mark.parametrize("element", ["0", "{}", '""', "[[]]"])
def test_a_batch_with_too_many_elements_is_refused_before_they_are_in_memory(element: str) -> None:
    body = f"[{','.join([element] * (MEBIBYTE // (len(element) + 1)))}]".encode()
    tracemalloc.start()
    try:
        with pytest.raises(BadRequestError, match="1000"):
            read_batch(body, NOW)
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE / 2
    finally:
        tracemalloc.stop()


def test_what_is_kept_of_a_batch_is_hardly_larger_than_its_body() -> None:
    body = json.dumps([event(data=[[]] * 16_000) for _ in range(20)], separators=(",", ":")).encode()
    tracemalloc.start()
    try:
        found = read_batch(body, NOW)
        assert tracemalloc.get_traced_memory()[0] < 2 * len(body)
    finally:
        tracemalloc.stop()
    assert all(isinstance(one, ApplicationEvent) for one in found)


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_each_element_is_read_in_its_place(count: int) -> None:
    batch = [event(id=str(number)) for number in range(count)]
    found = read_batch(json.dumps(batch).encode(), NOW)
    assert [one.id for one in found if isinstance(one, ApplicationEvent)] == [one["id"] for one in batch]


@pytest.mark.parametrize("body", [b"[]", b"{}", b"[1", b"[1,]", b"", b"null", b"[" * 100_000, b"[1] 2"])
def test_what_is_no_array_of_events_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        read_batch(body, NOW)
