"""Applies an operation to a single value: replaces a simple one, merges a complex one (RFC 7644 3.5.2.1, 3.5.2.3)."""

from collections.abc import Iterator, Mapping
from typing import Any

from quartet_scim.attribute_conversion import MAX_KEYS, out_of_list, unassigned_if_blank
from quartet_scim.patch.messages import Op
from quartet_scim.patch.writable_attributes import WritableAttribute, require_mutable, require_optional
from quartet_scim.value_conversion import WrongValueError

Json = Mapping[str, Any]


def written(writable: WritableAttribute, old: Any, op: Op, value: Any) -> Any:
    """The value of a single-valued attribute after an add or a replace; None for unassigned.

    null and empty objects add nothing, and a replace by them removes the value (RFC 7643 2.5).
    """
    sent = out_of_list(value, is_complex=bool(writable.subs))
    if isinstance(sent, str) and "value" in writable.subs:
        sent = {"value": sent}  # Entra ID sends a manager as the bare id
    if writable.subs and isinstance(sent, dict):
        return unassigned_if_blank(merged(writable, old or {}, sent, op)) or None
    kept = None if sent is None else writable.whole(sent)
    return old if kept is None and op is Op.ADD else kept


def merged(writable: WritableAttribute, old: Json, sent: Json, op: Op) -> dict[str, Any]:
    """A complex value with the sent sub-attributes; the others stay, except a `$ref` to another resource."""
    new = dict(old)
    for sub, kept in given(writable, sent):
        if kept is None and op is Op.ADD:
            continue
        if sub.many and op is Op.ADD:
            _put(sub, new, list(dict.fromkeys([*old.get(sub.name, ()), *kept])))
        else:
            _put(sub, new, kept)
    if "$ref" in new and new["$ref"] == old.get("$ref") and new.get("value") != old.get("value"):
        del new["$ref"]
    return new


def without(old: Json, sub: WritableAttribute) -> dict[str, Any]:
    """A complex value without a sub-attribute."""
    new = dict(old)
    _put(sub, new, None)
    return new


def require_same(writable: WritableAttribute, old: Json, new: Json) -> None:
    """Refuse a complex value with changed immutable sub-attributes."""
    for sub in writable.subs.values():
        if sub.name in new:
            _put(sub, dict(old), new[sub.name])


def _put(sub: WritableAttribute, new: dict[str, Any], kept: Any) -> None:
    old = new.get(sub.name)
    try:
        require_mutable(sub, old, kept)
        if kept is not None:
            new[sub.name] = kept
        elif old is not None:
            require_optional(sub)
            del new[sub.name]
    except WrongValueError as wrong:
        raise wrong.under(f".{sub.name}") from None


def given(writable: WritableAttribute, sent: Json) -> Iterator[tuple[WritableAttribute, Any]]:
    """The sub-attributes of an object in canonical form, None for unassigned ones.

    Ignores unknown and read-only ones, as POST and PUT do.
    """
    if len(sent) > MAX_KEYS:
        raise WrongValueError(f"must not have more than {MAX_KEYS} attributes")
    seen = set()
    for key, value in sent.items():
        sub = writable.sub(key)
        if sub is None or sub.read_only:
            continue
        try:
            if sub.name in seen:
                raise WrongValueError("is given twice, in different case", "invalidSyntax")
            seen.add(sub.name)
            kept = None if value is None else sub.whole(value)
        except WrongValueError as wrong:
            raise wrong.under(f".{sub.name}") from None
        yield sub, kept
