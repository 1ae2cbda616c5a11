"""What a list is filtered by: one attribute that equals one string (RFC 7644 3.4.2.2)."""

import re
from collections.abc import Collection
from dataclasses import dataclass

import orjson

from quartet_scim.errors import ScimError, invalid_filter

CORE_SCHEMAS = ("urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:core:2.0:Group")
MAX_FILTER_CHARACTERS = 4096
_EQUALS = re.compile(r'\s*(\S+)\s+eq\s+("(?:[^"\\]|\\.)*")\s*', re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Eq:
    """attribute (its canonical name) equals value; whether case counts is the attribute's characteristic."""

    attribute: str
    value: str


def parse_eq(text: str, allowed: Collection[str], *, schemas: Collection[str] = CORE_SCHEMAS) -> Eq:
    """The filter `attribute eq "value"`, whose attribute is one of the allowed canonical names.

    The name may be of any case and may carry one of the schemas' URNs in front. Raises ScimError 400 invalidFilter,
    which says what is supported, for everything else.
    """
    match = _EQUALS.fullmatch(text) if len(text) <= MAX_FILTER_CHARACTERS else None
    attribute = _canonical(match[1], allowed, schemas) if match else None
    if match is None or attribute is None:
        raise _unsupported(allowed)
    try:
        value = orjson.loads(match[2])
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise invalid_filter("The filter's value is not a valid JSON string.") from None
    if "\x00" in value:
        raise invalid_filter("The filter's value must not hold a NUL character.")
    return Eq(attribute, value)


def _canonical(name: str, allowed: Collection[str], schemas: Collection[str]) -> str | None:
    wanted = name.lower()
    for urn in schemas:
        wanted = wanted.removeprefix(f"{urn.lower()}:")
    return next((known for known in allowed if known.lower() == wanted), None)


def _unsupported(allowed: Collection[str]) -> ScimError:
    names = ", ".join(sorted(allowed))
    return invalid_filter(
        f'Only filters of the form attribute eq "value" are supported, of at most {MAX_FILTER_CHARACTERS} characters, '
        f"and only on: {names}."
    )
