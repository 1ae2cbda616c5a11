"""Which page a client asks for by startIndex and count (RFC 7644 3.4.2.4)."""

import re
from dataclasses import dataclass

from quartet_scim.errors import invalid_value

DEFAULT_COUNT = 100
MAX_COUNT = 200
# 18 digits always fit into the database's 64 bits.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Page:
    """A page: start_index counts from 1; count is how many resources to return at most, 0 for the total alone."""

    start_index: int
    count: int

    @property
    def offset(self) -> int:
        """How many resources stand before the page."""
        return self.start_index - 1


def parse_page(
    start_index: str | None, count: str | None, *, default: int = DEFAULT_COUNT, maximum: int = MAX_COUNT
) -> Page:
    """The page that the query's texts ask for; None is a parameter that was not sent.

    startIndex below 1 means 1, a negative count means 0, more than the maximum is the maximum (RFC 7644 3.4.2.4).
    Raises ScimError 400 invalidValue for what is not a whole number of at most 18 digits.
    """
    first = 1 if start_index is None else max(1, _whole_number("startIndex", start_index))
    wanted = default if count is None else max(0, _whole_number("count", count))
    return Page(first, min(wanted, maximum))


def _whole_number(name: str, text: str) -> int:
    if _WHOLE_NUMBER.fullmatch(text) is None:
        raise invalid_value(f"{name} must be a whole number.")
    return int(text)
