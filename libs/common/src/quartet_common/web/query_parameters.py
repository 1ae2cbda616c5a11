"""Query parameters: reads values from a query string; errors name the parameter."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from quartet_common.core.clock import parse_time
from quartet_common.core.errors import BadRequestError
from quartet_common.core.validation_messages import MAX_SHOWN, TIME_RULE, shown

MAX_TEXT = 1024


class BadParameterError(BadRequestError):
    """400: the query parameter `name` is invalid; `rule` says what it must be."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"{name} {rule}", "bad_parameter")
        self.name = name


def single(name: str, values: Sequence[str], known: Collection[str]) -> str:
    """The one value of a parameter among `known`: a text of at most 1,024 characters. Raises BadParameterError."""
    if name not in known:
        raise BadParameterError(name[:MAX_SHOWN], f"is not a known parameter. Use: {', '.join(known)}")
    if len(values) != 1:
        raise BadParameterError(name, f"must be given once, got {len(values)} values")
    if len(values[0]) > MAX_TEXT or "\0" in values[0]:
        raise BadParameterError(name, f"must have at most {MAX_TEXT} characters and no NUL character")
    return values[0]


def read_given(parameters: Mapping[str, Sequence[str]], known: Collection[str]) -> dict[str, str]:
    """The parameters that have a value, each of `known`; an empty one is as good as none. Raises BadParameterError."""
    return {name: text for name, values in parameters.items() if (text := single(name, values, known))}


def time(name: str, text: str) -> datetime:
    """`text`, an RFC 3339 time (section 5.6), in UTC. Raises BadParameterError."""
    if (found := parse_time(text)) is None:
        raise BadParameterError(name, f"{TIME_RULE}, got {shown(text)}")
    return found


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """`text` as a number from `least` to `most`. Raises BadParameterError."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise BadParameterError(name, f"must be a whole number from {least} to {most}, got {shown(text)}")
    return int(text)
