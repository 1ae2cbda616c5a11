"""Pages by index (RFC 7644 3.4.2.4), and whole numbers in queries."""

import re
from dataclasses import dataclass

from quartet_scim.errors import invalid_value

DEFAULT_COUNT = 100
MAX_COUNT = 200
# 18 digits always fit into 64 bits
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Page:
    """A page: start_index counts from 1; count is how many resources to return at most, 0 for the total alone."""

    start_index: int
    count: int

    @property
    def offset(self) -> int:
        """The number of resources before the page."""
        return self.start_index - 1


def whole_number(name: str, text: str) -> int:
    """The whole number in a parameter. Raises ScimError 400 invalidValue for other texts and more than 18 digits."""
    if _WHOLE_NUMBER.fullmatch(text) is None:
        raise invalid_value(f"{name} must be a whole number.")
    return int(text)
