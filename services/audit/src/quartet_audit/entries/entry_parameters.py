"""Parameters: reads the query string of `/audit/events` and the ids in paths, and names what is wrong in them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from quartet_audit.entries.entry_domain import Position, Search
from quartet_audit.entries.filter_domain import FILTERS, read_filters
from quartet_common.core.identifiers import parse_id
from quartet_common.core.validation_messages import shown
from quartet_common.web.cursors import decode_cursor, encode_cursor
from quartet_common.web.query_parameters import BadParameterError, read_given, whole_number

NAMES = (*FILTERS, "order", "limit", "cursor")
ORDERS = ("desc", "asc")
DEFAULT_LIMIT = 50
MAX_LIMIT = 500


def read_search(parameters: Mapping[str, Sequence[str]], tenant: str) -> Search:
    """The question in `parameters` (name to all its values); an empty value is as good as none.

    Raises BadRequestError (400) naming the parameter.
    """
    given = read_given(parameters, NAMES)
    search = replace(
        read_filters(given),
        newest_first=_order(given) == ORDERS[0],
        limit=whole_number("limit", given.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    )
    if "cursor" not in given:
        return search
    return search.beyond(Position(*decode_cursor(given["cursor"], _context(given, tenant), tuple[datetime, int])))


def read_id(text: str) -> UUID:
    """The id of an entry in a path. Raises BadParameterError (400)."""
    if (found := parse_id(text)) is None:
        raise BadParameterError("id", f"must be the UUID of an entry, got {shown(text)}")
    return found


def write_cursor(parameters: Mapping[str, Sequence[str]], tenant: str, position: Position) -> str:
    """The cursor that leads on from `position` in the answer to `parameters`."""
    given = read_given(parameters, NAMES)
    return encode_cursor(tuple(position), _context(given, tenant))


def _context(given: Mapping[str, str], tenant: str) -> list[str]:
    """What must be the same from page to page: everything but the size of a page."""
    return ["audit.events", tenant, _order(given), *(given.get(name, "") for name in FILTERS)]


def _order(given: Mapping[str, str]) -> str:
    order = given.get("order", ORDERS[0])
    if order not in ORDERS:
        raise BadParameterError("order", f"must be one of {', '.join(ORDERS)}, got {shown(order)}")
    return order
