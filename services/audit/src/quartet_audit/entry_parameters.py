"""Parameters: reads the query string of `/audit/events` and names what is wrong in it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from quartet_audit.entry_domain import BEGINNING, END, Position, Search
from quartet_common.core.validation_messages import shown
from quartet_common.web.cursors import decode_cursor, encode_cursor
from quartet_common.web.query_parameters import BadParameterError, single, time, whole_number

FILTERS = ("action", "actor", "resource", "outcome", "from", "to")
NAMES = (*FILTERS, "order", "limit", "cursor")
ORDERS = ("desc", "asc")
DEFAULT_LIMIT = 50
MAX_LIMIT = 500
ANY_END = "*"


def read_search(parameters: Mapping[str, Sequence[str]], tenant: str) -> Search:
    """The question in `parameters` (name to all its values); an empty value is as good as none.

    Raises BadRequestError (400) naming the parameter.
    """
    given = {name: text for name, values in parameters.items() if (text := single(name, values, NAMES))}
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
        limit=whole_number("limit", given.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    )
    if "cursor" not in given:
        return search
    return search.beyond(Position(*decode_cursor(given["cursor"], _context(given, tenant), tuple[datetime, int])))


def write_cursor(parameters: Mapping[str, Sequence[str]], tenant: str, position: Position) -> str:
    """The cursor that leads on from `position` in the answer to `parameters`."""
    given = {name: text for name, values in parameters.items() if (text := single(name, values, NAMES))}
    return encode_cursor(tuple(position), _context(given, tenant))


def _context(given: Mapping[str, str], tenant: str) -> list[str]:
    """What must be the same from page to page: everything but the size of a page."""
    return ["audit.events", tenant, _order(given), *(given.get(name, "") for name in FILTERS)]


def _range(given: Mapping[str, str]) -> tuple[Position, Position]:
    """The positions just before `from` (inclusive) and just before `to` (exclusive)."""
    start = Position(time("from", given["from"]), -1) if "from" in given else BEGINNING
    end = Position(time("to", given["to"]), -1) if "to" in given else END
    if start >= end:
        raise BadParameterError("from", "must be before to")
    return start, end


def _order(given: Mapping[str, str]) -> str:
    order = given.get("order", ORDERS[0])
    if order not in ORDERS:
        raise BadParameterError("order", f"must be one of {', '.join(ORDERS)}, got {shown(order)}")
    return order
