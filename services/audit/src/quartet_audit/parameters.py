"""Parameters: reads the query string of `/audit/events` and names what is wrong in it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from quartet_audit.domain import BEGINNING, END, Position, Search
from quartet_common.cursors import decode_cursor, encode_cursor
from quartet_common.errors import BadRequestError

FILTERS = ("action", "actor", "resource", "outcome", "from", "to")
NAMES = (*FILTERS, "order", "limit", "cursor")
ORDERS = ("desc", "asc")
MAX_TEXT = 1024
DEFAULT_LIMIT = 50
MAX_LIMIT = 500
ANY_END = "*"


def read_search(parameters: Mapping[str, Sequence[str]], tenant: str) -> Search:
    """The question in `parameters` (name to all its values); an empty value is as good as none.

    Raises BadRequestError (400) naming the parameter.
    """
    given = {name: text for name, values in parameters.items() if (text := _single(name, values))}
    action = given.get("action")
    is_prefix = action is not None and action.endswith(ANY_END)
    start, end = _range(given)
    search = Search(
        action=None if is_prefix else action,
        prefix=action.removesuffix(ANY_END) if action is not None and is_prefix else None,
        actor=given.get("actor"),
        resource=given.get("resource"),
        outcome=given.get("outcome"),
        after=start,
        before=end,
        newest_first=_order(given) == ORDERS[0],
        limit=_limit(given),
    )
    if "cursor" not in given:
        return search
    return search.beyond(Position(*decode_cursor(given["cursor"], _context(given, tenant), tuple[datetime, int])))


def write_cursor(parameters: Mapping[str, Sequence[str]], tenant: str, position: Position) -> str:
    """The cursor that leads on from `position` in the answer to `parameters`."""
    given = {name: text for name, values in parameters.items() if (text := _single(name, values))}
    return encode_cursor(tuple(position), _context(given, tenant))


def _context(given: Mapping[str, str], tenant: str) -> list[str]:
    """What must be the same from page to page: everything but the size of a page."""
    return ["audit.events", tenant, _order(given), *(given.get(name, "") for name in FILTERS)]


def _single(name: str, values: Sequence[str]) -> str:
    if name not in NAMES:
        raise _bad(name, f"is not known; there are {', '.join(NAMES)}")
    if len(values) != 1:
        raise _bad(name, "must be given once")
    if len(values[0]) > MAX_TEXT or "\0" in values[0]:
        raise _bad(name, f"must be a text of at most {MAX_TEXT} characters, without NUL")
    return values[0]


def _range(given: Mapping[str, str]) -> tuple[Position, Position]:
    """The positions just before `from` (inclusive) and just before `to` (exclusive)."""
    start = Position(_time("from", given["from"]), -1) if "from" in given else BEGINNING
    end = Position(_time("to", given["to"]), -1) if "to" in given else END
    if start >= end:
        raise _bad("from", "must be before to")
    return start, end


def _time(name: str, text: str) -> datetime:
    """`text` in UTC; RFC 3339 section 5.6."""
    rule = 'must be an RFC 3339 time with its zone, such as 2026-01-31T09:00:00Z (in a URL "+" is written %2B)'
    try:
        time = msgspec.convert(text, datetime)
        if time.tzinfo is None:
            raise _bad(name, rule)
        return time.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise _bad(name, rule) from None


def _order(given: Mapping[str, str]) -> str:
    order = given.get("order", ORDERS[0])
    if order not in ORDERS:
        raise _bad("order", f"must be one of {', '.join(ORDERS)}")
    return order


def _limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise _bad("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _bad(name: str, rule: str) -> BadRequestError:
    return BadRequestError(f"{name}: {rule}", "bad_parameter")
