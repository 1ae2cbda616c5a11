"""Reads JSON and base64 strictly: what two readers could read differently is refused."""

import json
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

HASH_BYTES: Final = 32
SHOWN: Final = 120
"""Characters of a foreign value in a message."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class FormatError(ValueError):
    """Bytes that do not have the form of docs/audit-formats.md, or of the C2SP text that it cites."""


class CutOffError(FormatError):
    """A bundle that ends within a line, or before the first one."""


def shown(value: object) -> str:
    """A foreign value for a message: escaped, and cut if it is long."""
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw` (UTF-8). Raises FormatError, also for an object that has a member twice."""
    try:
        text = raw.decode()
        value, end = _decoder.raw_decode(text)
        if end != len(text):
            raise FormatError(f"there is more after its JSON value, at character {end}")
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"it is not JSON in UTF-8 ({error})") from None
    if not isinstance(value, dict):
        raise FormatError(f"it is not a JSON object but {shown(value)}")
    return value


def decode_base64(value: object, what: str, size: int | None = None) -> bytes:
    """The bytes of base64 text (RFC 4648 section 4) in its only form: without bits that mean nothing (section 3.5).

    Raises FormatError if it is none, or not of `size` bytes.
    """
    try:
        raw = a2b_base64(value, strict_mode=True)  # type: ignore[arg-type]  # the TypeError is caught
    except (TypeError, ValueError):
        raise FormatError(f"{what} is not base64 but {shown(value)}") from None
    if b2a_base64(raw, newline=False).decode() != value:
        raise FormatError(f"{what} is not in its only base64 form: {shown(value)}")
    if size is not None and len(raw) != size:
        raise FormatError(f"{what} has {len(raw)} bytes instead of {size}")
    return raw


def unbase64(text: bytes) -> bytes | None:
    """The bytes of base64 text, or None if it is none or not in its only form: as `decode_base64`, but faster."""
    try:
        raw = a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return raw if b2a_base64(raw, newline=False) == text else None


def member(document: dict[str, Any], name: str, kind: type[Any]) -> Any:
    """A member of exactly this type. Raises FormatError if it is missing or of another one (`true` is no number)."""
    value: Any = document.get(name)
    if type(value) is not kind:
        problem = f"is {shown(value)} instead of a {kind.__name__}" if name in document else "is missing"
        raise FormatError(f"its member {name!r} {problem}")
    if kind is str and not _is_utf8(value):
        raise FormatError(f"its member {name!r} has characters that UTF-8 cannot have")
    return value


def natural(document: dict[str, Any], name: str) -> int:
    """A member that is a whole number from 0 to 2^63 - 1. Raises FormatError."""
    value: int = member(document, name, int)
    if not 0 <= value < 1 << 63:
        raise FormatError(f"its member {name!r} is {value}, and must be 0 to 2^63 - 1")
    return value


def microseconds(text: object) -> int | None:
    """An RFC 3339 time as microseconds since 1970; None for anything else."""
    if not isinstance(text, str) or text[10:11] != "T":
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if time.tzinfo is None else (time - _EPOCH) // _MICROSECOND


def time_text(time: int) -> str:
    """Microseconds since 1970 as an RFC 3339 time; a number outside of the calendar stays a number."""
    try:
        return (_EPOCH + time * _MICROSECOND).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{time} us"


def _is_utf8(text: str) -> bool:
    """JSON can escape halves of surrogate pairs, which nothing can be encoded or hashed with."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("an object has a member twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise FormatError(f"{name} is no JSON value")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
