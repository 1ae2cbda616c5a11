"""Value conversion: checks and converts JSON values by data type (RFC 7643 2.3)."""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from quartet_scim.errors import ScimError, ScimType
from quartet_scim.schema import Type

Convert = Callable[[Any], Any]
"""Converts a JSON value that is not null to the stored value, None for unassigned. Raises WrongValueError."""

MAX_STRING_BYTES = 64 * 1024
_INT64 = 2**63
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE)


class WrongValueError(Exception):
    """An invalid value. Its path is completed by the callers, so that valid values need no path."""

    def __init__(self, problem: str, scim_type: ScimType = "invalidValue") -> None:
        super().__init__(problem)
        self.problem = problem
        self.scim_type: ScimType = scim_type
        self.path = ""

    def under(self, step: str) -> "WrongValueError":
        """The same error with a prefix of the path."""
        self.path = step + self.path
        return self

    def scim_error(self) -> ScimError:
        """The error as 400 with the path of the attribute."""
        return ScimError(400, f"{self.path} {self.problem}.", self.scim_type)


def text(max_bytes: int = MAX_STRING_BYTES) -> Convert:
    """Strings of at most `max_bytes` of UTF-8, without NUL and lone surrogates, which PostgreSQL cannot store."""

    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise WrongValueError("must be a string")
        if "\x00" in value:
            raise WrongValueError("must not contain a NUL character")
        if (len(value) if value.isascii() else _utf8_size(value)) > max_bytes:
            raise WrongValueError(f"must not be longer than {max_bytes} bytes")
        return value

    return convert


def _utf8_size(value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        raise WrongValueError("must not contain a lone surrogate") from None


_text = text()


def boolean(value: Any) -> bool:
    """JSON booleans, and the strings "True" and "False" in any case, which Entra ID sends."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise WrongValueError("must be a boolean")


def integer(value: Any) -> int:
    """Whole numbers of at most 64 bits (RFC 7643 2.3.4: without fraction or exponent)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongValueError("must be an integer")
    if not -_INT64 <= value < _INT64:
        raise WrongValueError("must fit into 64 bits")
    return value


def decimal(value: Any) -> int | float:
    """Any finite number (RFC 7643 2.3.3)."""
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongValueError("must be a number")
    return integer(value)


def date_time(value: Any) -> str:
    """xsd:dateTime (RFC 7643 2.3.5), stored as sent: at most nanoseconds; UTC without an offset."""
    written: str = _text(value)
    try:
        if _RFC_3339.fullmatch(written) is None:
            raise ValueError
        datetime.fromisoformat(written.upper())
    except ValueError:
        raise WrongValueError("must be a date and time such as 2026-01-31T09:30:00Z") from None
    return written


def binary(value: Any) -> str:
    """Base64 of either alphabet, with or without padding, stored as sent (RFC 7643 2.3.6)."""
    written: str = _text(value)
    bare = written.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise WrongValueError("must be base64") from None
    return written


SIMPLE: Mapping[Type, Convert] = {
    Type.STRING: _text,
    # any text: clients send URLs, ids and placeholders, and an error would refuse the whole resource
    Type.REFERENCE: _text,
    Type.BOOLEAN: boolean,
    Type.INTEGER: integer,
    Type.DECIMAL: decimal,
    Type.DATE_TIME: date_time,
    Type.BINARY: binary,
}
