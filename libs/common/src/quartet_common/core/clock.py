"""The clock of the machine, in UTC."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def parse_time(text: str) -> datetime | None:
    """`text`, an RFC 3339 time (section 5.6), in UTC; None if it is none, or has no time zone."""
    try:
        found = msgspec.convert(text, datetime)
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        return None
