"""Parses timestamps exactly as PostgreSQL does, so that evaluator and SQL have the same results."""

import re
from datetime import date

# A text that this matches is one that PostgreSQL casts to timestamptz without an error; it stands in the SQL as well,
# where nothing else keeps a stored text that is no date from failing the whole query. It is RFC 3339 (RFC 7643 2.3.5)
# with days that exist, with offsets below 16 hours, PostgreSQL's limit, and with fractions down to the nanosecond: of
# hundreds of digits PostgreSQL makes an error. Without an offset it is UTC: see `with_zone` and `timestamptz`.
INSTANT = (
    "^(?!0000)"
    "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
    "[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])?$"
)
_INSTANT = re.compile(INSTANT)
_ZONE = re.compile("[Zz+-]")
_SECOND = 1_000_000


def microseconds(text: str) -> int | None:
    """The instant in microseconds since year 1 in UTC, fractions rounded as PostgreSQL does; None for no instant."""
    if _INSTANT.match(text) is None or text.endswith("\n"):
        return None
    text = with_zone(text)
    zoned = text[-1] in "Zz"
    clock = text[11:-1] if zoned else text[11:-6]
    day = date.fromisoformat(text[:10]).toordinal()
    seconds = (day * 24 + int(clock[:2])) * 3600 + int(clock[3:5]) * 60 + int(clock[6:8])
    fraction = round(float(f"0{clock[8:]}") * _SECOND) if len(clock) > 8 else 0
    return (seconds - (0 if zoned else _offset(text[-6:]))) * _SECOND + fraction


def with_zone(text: str) -> str:
    """A date and time with the Z of UTC where it names no offset."""
    return text if _ZONE.search(text, 19) else f"{text}Z"


def timestamptz(text: str) -> str:
    """The same in SQL: the instant of a text that matches `INSTANT`, whatever the session's own time zone is."""
    return f"({text} || CASE WHEN substr({text}, 20) ~ '[Zz+-]' THEN '' ELSE 'Z' END)::timestamptz"


def _offset(zone: str) -> int:
    seconds = int(zone[1:3]) * 3600 + int(zone[4:]) * 60
    return -seconds if zone[0] == "-" else seconds
