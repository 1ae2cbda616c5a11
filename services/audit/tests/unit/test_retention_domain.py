"""Retention: the minimum index, and what is said of an id that a log does not have."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from quartet_audit.retention.retention_domain import EntryExpiredError, PrunedLog, minimum_index, missing_entry
from quartet_common.core.errors import NotFoundError

UNTIL = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
PRUNED = PrunedLog(600, UNTIL, UNTIL + timedelta(days=30))


def id_at(time: datetime, version: int = 7) -> UUID:
    """An id that begins with its time (RFC 9562 section 5.7)."""
    return UUID(int=int(time.timestamp() * 1000) << 80 | version << 76 | 2 << 62 | 5)


@pytest.mark.parametrize(("entries", "index"), [(0, 0), (255, 0), (256, 256), (257, 256), (600, 512)])
def test_the_minimum_index_is_the_first_leaf_of_a_tile(entries: int, index: int) -> None:
    assert minimum_index(entries) == index
    assert PRUNED.minimum_index == 512


@pytest.mark.parametrize("age", [timedelta(), timedelta(milliseconds=1), timedelta(days=900)])
def test_an_id_no_newer_than_what_has_expired_is_said_to_have_expired(age: timedelta) -> None:
    error = missing_entry(id_at(UNTIL - age), PRUNED)
    assert isinstance(error, EntryExpiredError)
    assert (error.status, error.code) == (404, "entry_expired")
    assert "2026-01-31T09:00:00Z" in str(error.detail)


@pytest.mark.parametrize(
    ("identifier", "pruned"),
    [
        (id_at(UNTIL + timedelta(milliseconds=1)), PRUNED),
        (id_at(UNTIL - timedelta(days=1), version=4), PRUNED),
        (id_at(UNTIL - timedelta(days=1)), None),
    ],
)
def test_any_other_id_is_not_found(identifier: UUID, pruned: PrunedLog | None) -> None:
    assert isinstance(missing_entry(identifier, pruned), NotFoundError)
