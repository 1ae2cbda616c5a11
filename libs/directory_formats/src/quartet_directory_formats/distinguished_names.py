"""Distinguished names of LDAP (RFC 4514): one form of those that are equal, and their first attribute."""

import re

from quartet_directory_formats.records import InvalidRecordError

PAIR = re.compile(rb"\\([0-9a-fA-F]{2}|.)", re.DOTALL)
PART = re.compile(r"((?:\\.|[^\\,;+])*)([,;+]|\Z)", re.DOTALL)
TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)*")
SPECIAL = re.compile(r'([,+"\\<>;=])')

Attribute = tuple[str, str]
"""A type in lower case and its value."""


def parse_dn(text: str) -> list[list[Attribute]]:
    """The attributes of each part, the first part first. Raises InvalidRecordError."""
    parts: list[list[Attribute]] = [[]]
    place = 0
    while place < len(text):
        match = PART.match(text, place)
        if match is None:
            raise InvalidRecordError("The distinguished name is not valid.", text)
        parts[-1].append(_attribute(match[1], text))
        place = match.end()
        if match[2] in (",", ";"):
            parts.append([])
        if match[2] and place == len(text):
            raise InvalidRecordError("The distinguished name ends with a separator.", text)
    return parts if parts[0] else []


def normalise_dn(text: str) -> str:
    """The form that equal names share: in lower case, escaped in one way. Raises InvalidRecordError."""
    return ",".join(
        "+".join(sorted(f"{kind}={escape(' '.join(value.casefold().split()))}" for kind, value in part))
        for part in parse_dn(text)
    )


def escape(value: str) -> str:
    """`value` as it stands in a name."""
    escaped = SPECIAL.sub(r"\\\1", value).replace("\x00", "\\00")
    if escaped.startswith((" ", "#")):
        escaped = f"\\{escaped}"
    return f"{escaped[:-1]}\\ " if value.endswith(" ") and len(value) > 1 else escaped


def _attribute(part: str, text: str) -> Attribute:
    kind, equals, value = part.partition("=")
    kind = kind.strip()
    if not equals or not TYPE.fullmatch(kind):
        raise InvalidRecordError("The distinguished name is not valid: a part has no type.", text)
    stripped = value.lstrip(" ")
    trailing = len(stripped) - len(stripped.rstrip(" "))
    kept = stripped.rstrip(" ")
    if trailing and kept.endswith("\\") and not kept.endswith("\\\\"):
        kept += " "
    raw = kept.encode("utf-8", "surrogatepass")
    try:
        return kind.lower(), PAIR.sub(_unescaped, raw).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRecordError("The distinguished name is not valid UTF-8.", text) from None


def _unescaped(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return bytes.fromhex(escaped.decode("ascii")) if len(escaped) == 2 else escaped
