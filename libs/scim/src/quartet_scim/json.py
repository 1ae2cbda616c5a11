"""Parses a body into a JSON object with limits, and serialises documents for storage."""

import json as stdlib_json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from quartet_scim.errors import ScimError, invalid_syntax

MAX_DEPTH = 32
MAX_PARTS = 400_000
"""The maximum number of commas and opening brackets in a body."""
BYTES_OF_A_PART = 100
"""Bytes of memory of a value, also if its text is short."""
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_ESCAPED_COLON = re.compile(rb"\\u003a", re.IGNORECASE)


class _RepeatedKeyError(Exception):
    """Raised inside the standard library's decoder for a repeated key."""


def size_in_memory(body: bytes) -> int:
    """The approximate size in bytes of the objects that `parse` makes of the body."""
    return len(body) + BYTES_OF_A_PART * _parts(body)


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in the body.

    Raises ScimError 400 invalidSyntax for what is not UTF-8 or not JSON (lone surrogates included), is not an object,
    is nested deeper than 32 levels, repeats a key in an object, or holds a NUL, which PostgreSQL cannot store; 413 for
    more than MAX_PARTS, before anything is made of them.
    """
    if _parts(body) > MAX_PARTS:
        raise ScimError(413, f"The body has more than {MAX_PARTS} commas and opening brackets. Send less at a time.")
    value = _decoded(body)
    if not isinstance(value, dict):
        raise invalid_syntax("The body must be a JSON object.")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise invalid_syntax(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if b"\\u0000" in body and _ESCAPED_NUL.search(body):
        raise invalid_syntax("The body contains a NUL character (\\u0000), which cannot be stored. Remove it.")
    if _may_repeat_a_key(body, value):
        _refuse_repeated_keys(body)
    return value


def _parts(body: bytes) -> int:
    return body.count(b",") + body.count(b"{") + body.count(b"[")


def dump(document: Mapping[str, Any]) -> str:
    """The document as compact JSON text for a jsonb parameter."""
    return orjson.dumps(document).decode()


def _decoded(body: bytes) -> object:
    if not body.strip():
        raise invalid_syntax("The body is empty; a JSON object is expected.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise invalid_syntax(f"The body is not valid JSON: {wrong}.") from None


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)  # type: ignore[attr-defined] # level holds only dicts and lists
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _may_repeat_a_key(body: bytes, value: object) -> bool:
    # The decoder drops the first of two equal keys, and so at least one colon. The serialised value then has fewer
    # colons than the body, unless the body has a colon as an escape.
    return body.count(b":") != orjson.dumps(value).count(b":") or _ESCAPED_COLON.search(body) is not None


def _refuse_repeated_keys(body: bytes) -> None:
    try:
        stdlib_json.loads(body, object_pairs_hook=_object_of_single_keys)
    except _RepeatedKeyError as repeated:
        raise _repeated(str(repeated)) from None


def _object_of_single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found


def _repeated(key: str) -> ScimError:
    shown = key if len(key) <= 64 else f"{key[:64]}..."
    return invalid_syntax(f"The body repeats the key {shown!r} in one object.")
