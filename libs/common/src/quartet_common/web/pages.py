"""Pages of a list that has a position: the parameters `cursor` and `count`, and the cursor of the next page."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from quart import request

from quartet_common.web.cursors import decode_cursor, encode_cursor
from quartet_common.web.query_parameters import read_given, whole_number

P = TypeVar("P")
R = TypeVar("R")

DEFAULT_COUNT = 100
MAX_COUNT = 1000


def read_parameters(*known: str) -> dict[str, str]:
    """The parameters of the query; an empty one counts as none. Raises BadParameterError for one that is not known."""
    return read_given(dict(request.args.lists()), known)


def read_page(given: Mapping[str, str], context: Sequence[str], first: P) -> tuple[P, int]:
    """The position behind which the page begins, `first` without a cursor, and the number of its items.

    Raises BadRequestError.
    """
    after = decode_cursor(given["cursor"], context, type(first)) if "cursor" in given else first
    return after, whole_number("count", given.get("count", str(DEFAULT_COUNT)), 1, MAX_COUNT)


def next_cursor(found: Sequence[R], count: int, context: Sequence[str], position: Callable[[R], object]) -> str | None:
    """The cursor behind the first `count` of `found`; None if these are all."""
    return encode_cursor(position(found[count - 1]), context) if len(found) > count else None
