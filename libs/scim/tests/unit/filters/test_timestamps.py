"""Texts as instants."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.filters.timestamps import microseconds, with_zone

START = datetime(1, 1, 1, tzinfo=UTC)
OFFSET = microseconds("0001-01-01T00:00:00Z") or 0


@given(
    st.timedeltas(timedelta(days=400), timedelta(days=3_650_000)).map(START.__add__),
    st.sampled_from(["+00:00", "-15:59", "+05:30"]),
)
def test_a_text_is_the_instant_that_datetime_reads(moment: datetime, zone: str) -> None:
    text = moment.replace(tzinfo=None).isoformat() + zone
    expected = (datetime.fromisoformat(text) - START) // timedelta(microseconds=1)
    assert (microseconds(text) or 0) - OFFSET == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T09:30",
        "2026-01-31T09:30:00+",
        "2026-01-31 09:30:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T09:60:00Z",
        "2026-01-31T09:30:60Z",
        "2026-01-31T09:30:00+16:00",
        "2026-01-31T09:30:00Z\n",
        "٢٠٢٦-01-31T09:30:00Z",
    ],
)
def test_what_the_database_could_not_read_is_no_instant(text: str) -> None:
    assert microseconds(text) is None


@pytest.mark.parametrize("text", ["2026-01-31T09:30:00", "2026-01-31T09:30:00.5"])
def test_a_text_without_an_offset_is_in_utc(text: str) -> None:
    assert microseconds(text) == microseconds(f"{text}Z") is not None
    assert with_zone(text) == f"{text}Z"


@pytest.mark.parametrize("text", ["2026-01-31T09:30:00z", "2026-01-31T09:30:00.5Z", "2026-01-31T09:30:00-01:00"])
def test_a_text_with_an_offset_keeps_it(text: str) -> None:
    assert with_zone(text) == text


def test_a_fraction_of_more_digits_than_nine_is_no_instant() -> None:
    assert microseconds(f"2000-02-29T00:00:00.{'1' * 9}Z") is not None
    assert microseconds(f"2000-02-29T00:00:00.{'1' * 10}Z") is None


def test_fractions_are_rounded_to_microseconds() -> None:
    first = microseconds("2024-02-29T23:59:59.9999999Z")
    assert first == microseconds("2024-03-01T00:00:00Z")
    assert microseconds("2000-02-29T00:00:00.1234564z") == microseconds("2000-02-29T01:00:00.123456+01:00")
