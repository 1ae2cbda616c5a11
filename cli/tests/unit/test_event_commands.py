"""From which time on events are published again."""

from datetime import UTC, datetime

import pytest

from quartet_cli.errors import QuartetError
from quartet_cli.event_commands import time_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2h", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("1d12h", datetime(2026, 1, 30, 0, tzinfo=UTC)),
        ("90m", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("0s", NOW),
        ("30s", datetime(2026, 1, 31, 11, 59, 30, tzinfo=UTC)),
        ("2026-01-31T09:00:00Z", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T09:00:00.5+02:00", datetime(2026, 1, 31, 7, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_time_or_a_duration_before_now_is_a_time(text: str, found: datetime) -> None:
    assert time_of(text, NOW) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "2",
        "2 h",
        "2h ",
        "h2",
        "-2h",
        "٣h",
        "yesterday",
        "999999d",
        "2026-01-31",
        "2026-01-31T09:00:00",
        "2026-02-30T09:00:00Z",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_anything_else_is_refused_with_what_was_given_and_what_it_must_be(text: str) -> None:
    with pytest.raises(QuartetError) as refused:
        time_of(text, NOW)
    assert f"got {text!r}" in str(refused.value)
    assert "2026-01-31T09:00:00Z" in str(refused.value)
    assert "2h" in str(refused.value)


def test_a_time_in_the_future_is_refused() -> None:
    with pytest.raises(QuartetError, match="in the past, got 2026-01-31T12:00:01Z; now it is 2026-01-31T12:00:00Z"):
        time_of("2026-01-31T12:00:01Z", NOW)
