"""Rate limits: a number of requests within a number of seconds, as configured."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

OFF = "off"
FORM = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})")
LONGEST = 86_400
"""Seconds."""


@dataclass(frozen=True)
class Limit:
    """`quota` requests within `seconds`."""

    quota: int
    seconds: int


def read_limit(value: object) -> object:
    """The Limit in a text such as `300/10` (300 within 10 s); None for `off`. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == OFF:
        return None
    found = FORM.fullmatch(value.strip())
    if found is None or int(found[2]) > LONGEST:
        raise ValueError(f"must be `requests/seconds` such as 300/10, at most {LONGEST} seconds, or `{OFF}`")
    return Limit(int(found[1]), int(found[2]))


Setting = Annotated[Limit | None, NoDecode, BeforeValidator(read_limit)]
"""A limit in the configuration; None for no limit."""
