"""Parses and checks a schema document of a client (RFC 7643 7), which becomes an extension."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from quartet_scim.attribute_names import PUBLISHED
from quartet_scim.errors import ScimError, invalid_syntax, invalid_value
from quartet_scim.schema import Attribute, Mutability, ResourceType, Returned, Schema, Type, Uniqueness

MAX_ATTRIBUTES = 100
"""The maximum number of attributes of a schema, including sub-attributes."""
MAX_URN = 256
MAX_NAME = 128
MAX_DESCRIPTION = 1024
MAX_SUGGESTIONS = 100
"""The maximum number of canonical values, or of reference types, of an attribute."""

# RFC 8141 2, without what neither a filter nor a path could name: sub-delims, "@", and r-, q- and f-components; and
# without "/" and "%", which the address of a schema would not bring back as they were written.
_URN = re.compile(r"urn:(?P<nid>[a-z0-9][a-z0-9-]{0,30}[a-z0-9]):[a-z0-9._~+:-]+", re.ASCII | re.IGNORECASE)
_LAST_PART = re.compile(r".*:[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9$_-]*", re.ASCII)
_SCHEMA_KEYS = {"schemas", "id", "name", "description", "attributes", "meta"}
_ATTRIBUTE_KEYS = {
    "name", "type", "description", "multiValued", "required", "caseExact", "mutability", "returned", "uniqueness",
    "canonicalValues", "referenceTypes", "subAttributes",
}  # fmt: skip
_REFUSED: Mapping[str, Mapping[str, str]] = {
    "mutability": {
        Mutability.READ_ONLY: "readOnly is not supported: no client could set a value",
        Mutability.WRITE_ONLY: "writeOnly is not supported: values that are never returned are not kept",
    },
    "returned": {Returned.NEVER: "never is not supported: values that are never returned are not kept"},
    "uniqueness": {
        Uniqueness.SERVER: "server is not supported: uniqueness is not enforced",
        Uniqueness.GLOBAL: "global is not supported: uniqueness is not enforced",
    },
}


def read_schema(document: object) -> Schema:
    """The extension of the document, with defaults for missing characteristics.

    Raises ScimError 400 (invalidSyntax if it is no object, else invalidValue) with the path of the error, such as
    `attributes[2].subAttributes[0].type`.
    """
    found = _object("The schema", document, _SCHEMA_KEYS)
    urn = read_urn(found.get("id"))
    name = _text("name", found.get("name"), MAX_NAME, required=True)
    description = _text("description", found.get("description"), MAX_DESCRIPTION)
    attributes = _attributes("attributes", found.get("attributes"), inside=False)
    if sum(1 + len(attribute.sub_attributes) for attribute in attributes) > MAX_ATTRIBUTES:
        raise invalid_value(f"attributes: a schema has at most {MAX_ATTRIBUTES}, sub-attributes included.")
    return Schema(urn, name, description, attributes)


def read_urn(value: object) -> str:
    """The URN of an extension (RFC 8141) as it was written. Raises ScimError 400 invalidValue."""
    if not isinstance(value, str):
        raise invalid_value("id: must be a URN.")
    if len(value) > MAX_URN:
        raise invalid_value(f"id: must not be longer than {MAX_URN} characters.")
    if _URN.fullmatch(value) is None:
        raise invalid_value(
            "id: must be a URN (RFC 8141) of letters, digits, and any of . _ ~ + : - (no / ? # %), such as "
            "urn:example:params:scim:schemas:extension:badge:2.0:User."
        )
    if value.lower().startswith(PUBLISHED):
        raise invalid_value("id: urn:ietf: belongs to the IETF; use a namespace of your own.")
    if _LAST_PART.fullmatch(value) is None:
        raise invalid_value("id: the part after the last colon must be a name: a letter, then letters, digits, - or _.")
    return value


def find_conflict(urn: str, known: Iterable[str]) -> str | None:
    """One of the `known` URNs that conflicts with `urn`: it is equal in any case, or a prefix of the other.

    With both `urn:example:a` and `urn:example:a:b`, the attribute `b` of the first would be ambiguous.
    """
    lower = urn.lower()
    for one in known:
        other = one.lower()
        if lower == other or lower.startswith(f"{other}:") or other.startswith(f"{lower}:"):
            return one
    return None


def urns_of(resource_type: ResourceType) -> list[str]:
    """The URNs of a resource type's schemas, the core's first."""
    return [resource_type.schema.id, *(schema.id for schema in resource_type.extensions)]


def _attributes(place: str, value: object, *, inside: bool) -> tuple[Attribute, ...]:
    if not isinstance(value, list) or not value:
        raise invalid_value(f"{place}: must be a list of at least one attribute.")
    if len(value) > MAX_ATTRIBUTES:
        raise invalid_value(f"{place}: a schema has at most {MAX_ATTRIBUTES} attributes, sub-attributes included.")
    found = tuple(_attribute(f"{place}[{index}]", one, inside=inside) for index, one in enumerate(value))
    seen: set[str] = set()
    for index, attribute in enumerate(found):
        if attribute.name.lower() in seen:
            raise invalid_value(f"{place}[{index}].name: {attribute.name} occurs twice; names are case-insensitive.")
        seen.add(attribute.name.lower())
    return found


def _attribute(place: str, value: object, *, inside: bool) -> Attribute:
    found = _object(place, value, _ATTRIBUTE_KEYS)
    name = _name(place, found.get("name"), inside=inside)
    kind = Type(_choice(place, "type", found, [one.value for one in Type], Type.STRING))
    if inside and kind is Type.COMPLEX:
        raise _wrong(place, "type", "a sub-attribute cannot be complex (RFC 7643 section 2.3.8)")
    multi_valued = _flag(place, "multiValued", found)
    if inside and multi_valued:
        raise _wrong(place, "multiValued", "a sub-attribute has a single value here")
    return Attribute(
        name=name,
        type=kind,
        description=_text(f"{place}.description", found.get("description"), MAX_DESCRIPTION),
        multi_valued=multi_valued,
        required=_flag(place, "required", found),
        case_exact=_flag(place, "caseExact", found),
        mutability=Mutability(_choice(place, "mutability", found, list(Mutability), Mutability.READ_WRITE)),
        returned=Returned(_choice(place, "returned", found, list(Returned), Returned.DEFAULT)),
        uniqueness=Uniqueness(_choice(place, "uniqueness", found, list(Uniqueness), Uniqueness.NONE)),
        canonical_values=_suggestions(place, "canonicalValues", found, kind, Type.STRING),
        reference_types=_suggestions(place, "referenceTypes", found, kind, Type.REFERENCE),
        sub_attributes=_sub_attributes(place, found, kind),
    )


def _name(place: str, value: object, *, inside: bool) -> str:
    name = _text(f"{place}.name", value, MAX_NAME, required=True)
    if _NAME.fullmatch(name) is None and not (inside and name == "$ref"):
        raise _wrong(place, "name", "must be a letter, then letters, digits, $, - or _ (RFC 7643 section 2.1)")
    return name


def _sub_attributes(place: str, found: Mapping[str, Any], kind: Type) -> tuple[Attribute, ...]:
    value = found.get("subAttributes")
    if kind is Type.COMPLEX:
        return _attributes(f"{place}.subAttributes", value, inside=True)
    if value not in (None, []):
        raise _wrong(place, "subAttributes", "only a complex attribute has them")
    return ()


def _suggestions(place: str, key: str, found: Mapping[str, Any], kind: Type, wanted: Type) -> tuple[str, ...]:
    value = found.get(key)
    if value in (None, []):
        return ()
    if kind is not wanted:
        raise _wrong(place, key, f"only an attribute of type {wanted} has them")
    if not isinstance(value, list) or len(value) > MAX_SUGGESTIONS:
        raise _wrong(place, key, f"must be a list of at most {MAX_SUGGESTIONS} strings")
    return tuple(_text(f"{place}.{key}[{index}]", one, MAX_NAME, required=True) for index, one in enumerate(value))


def _choice(place: str, key: str, found: Mapping[str, Any], allowed: Iterable[str], default: str) -> str:
    value = found.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or value not in allowed:
        raise _wrong(place, key, f"must be one of {', '.join(allowed)}")
    refusal = _REFUSED.get(key, {}).get(value)
    if refusal is not None:
        raise _wrong(place, key, refusal)
    return value


def _flag(place: str, key: str, found: Mapping[str, Any]) -> bool:
    value = found.get(key, False)
    if not isinstance(value, bool):
        raise _wrong(place, key, "must be true or false")
    return value


def _text(place: str, value: object, limit: int, *, required: bool = False) -> str:
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value.strip()):
        raise invalid_value(f"{place}: must be a string{' that is not empty' if required else ''}.")
    if len(value) > limit:
        raise invalid_value(f"{place}: must not be longer than {limit} characters.")
    if not _can_be_stored(value):
        raise invalid_value(f"{place}: must not contain a NUL character or a lone surrogate.")
    return value


def _can_be_stored(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _object(place: str, value: object, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise invalid_syntax(f"{place} must be an object.")
    # an error, since a misspelt characteristic would be lost otherwise
    strange = next((key for key in value if key not in known), None)
    if strange is not None:
        shown = ascii(strange if len(strange) <= MAX_NAME else f"{strange[:MAX_NAME]}...")
        raise invalid_value(f"{place}: unknown characteristic {shown} (RFC 7643 section 7).")
    return value


def _wrong(place: str, key: str, problem: str) -> ScimError:
    return invalid_value(f"{place}.{key}: {problem}.")
