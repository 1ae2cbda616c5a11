"""Expiry of API clients, their secrets and SCIM tokens: read from requests and shown in responses."""

from datetime import UTC, datetime

from quartet_common.core.errors import BadRequestError

MAX_YEAR = 9998


def read_expiry(sent: datetime | None, now: datetime) -> datetime | None:
    """`expires_at` of a request in UTC, None for none. Raises BadRequestError (400) for a past or naive time."""
    if sent is None:
        return None
    # compared before the conversion, which fails for the year 1 in time zones east of UTC
    if sent.tzinfo is None or sent <= now or sent.year > MAX_YEAR:
        raise BadRequestError(
            "expires_at must be in the future and have a time zone, such as 2027-01-31T09:00:00Z.", "bad_expiry"
        )
    return sent.astimezone(UTC)


def time_text(moment: datetime | None) -> str | None:
    """A time of a response in RFC 3339, None for none."""
    return None if moment is None else moment.isoformat()
