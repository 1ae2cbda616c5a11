"""Batches: which outbox rows the relay puts into one message, and what a batch says when it is read again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_common.messaging.batches import BATCH, BATCH_BYTES, OutboxRow, batches
from quartet_common.messaging.envelope import (
    Event,
    Malformed,
    MalformedEventError,
    decode_batch,
    elements,
    encode,
    encode_batch,
)

sizes = st.lists(st.integers(0, BATCH_BYTES + 10), max_size=30)


def rows(lengths: list[int]) -> list[OutboxRow]:
    return [
        OutboxRow(n, "default", "x", "a", "t", UUID(int=n), None, bytes(length)) for n, length in enumerate(lengths)
    ]


def test_no_rows_are_no_batches() -> None:
    assert list(batches([])) == []


def test_a_batch_ends_at_200_events() -> None:
    assert [len(batch) for batch in batches(rows([1] * (2 * BATCH + 1)))] == [200, 200, 1]


def test_a_batch_ends_at_256_kb_and_a_larger_event_is_alone() -> None:
    half = BATCH_BYTES // 2
    assert [len(batch) for batch in batches(rows([half, half - 1, 1, BATCH_BYTES + 1, 5]))] == [2, 1, 1, 1]


@given(sizes)
def test_all_rows_leave_in_their_order_and_no_batch_is_too_large(lengths: list[int]) -> None:
    made = list(batches(rows(lengths)))
    assert [row.id for batch in made for row in batch] == list(range(len(lengths)))
    for batch in made:
        assert len(batch) <= BATCH
        assert len(batch) == 1 or sum(len(row.event) for row in batch) <= BATCH_BYTES


def test_a_batch_is_a_json_array_of_the_events_as_they_were_written(event: Callable[..., Event]) -> None:
    events = [event("t", subject=f"things/{number}") for number in range(3)]
    body = encode_batch([encode(one) for one in events])
    assert msgspec.json.decode(body) == [msgspec.json.decode(encode(one)) for one in events]
    assert decode_batch(body) == events
    assert elements(body) == [encode(one) for one in events]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"id":"no"}', "not a CloudEvents envelope: "),
        (b"7", "not a CloudEvents envelope: "),
        (b'"text"', "not a CloudEvents envelope: "),
    ],
)
def test_an_element_that_is_no_event_does_not_spoil_the_others(
    event: Callable[..., Event], bad: bytes, reason: str
) -> None:
    first, last = event("t"), event("t")
    found = decode_batch(encode_batch([encode(first), bad, encode(last)]))
    assert (found[0], found[2]) == (first, last)
    assert isinstance(found[1], Malformed)
    assert found[1].body == bad
    assert found[1].reason.startswith(reason)


def test_an_element_of_another_version_of_cloudevents_is_malformed(event: Callable[..., Event]) -> None:
    one: Any = event("t", specversion="2.0")
    [first, second] = decode_batch(encode_batch([encode(one), encode(event("t"))]))
    assert isinstance(first, Malformed)
    assert first.reason == "CloudEvents version 2.0 is not supported"
    assert isinstance(second, Event)


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"nonsense", b"\xff[]"])
def test_what_is_no_array_is_no_batch(body: bytes) -> None:
    with pytest.raises(MalformedEventError, match="not a CloudEvents batch"):
        decode_batch(body)
