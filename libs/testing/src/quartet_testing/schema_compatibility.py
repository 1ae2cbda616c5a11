"""Compatibility of published JSON Schemas: whoever reads events of the old schema can read those of the new one."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

LOWER_BOUNDS = {"minimum": {"integer", "number"}, "minLength": {"string"}, "minItems": {"array"}}
UPPER_BOUNDS = {"maximum": {"integer", "number"}, "maxLength": {"string"}, "maxItems": {"array"}}
SAME = {"format": {"string"}, "pattern": {"string"}, "uniqueItems": {"array"}}
"""Keywords by how they are compared, with the types of the values that they limit."""
ANY = "any"
WORDS = ("$schema", "title", "description")
UNDERSTOOD = {
    *LOWER_BOUNDS, *UPPER_BOUNDS, *SAME, *WORDS, "type", "enum", "const", "required", "properties", "items", "oneOf"
}  # fmt: skip


def incompatibilities(old: Schema, new: Schema, path: str = "data") -> Iterator[str]:
    """What a reader of `old` may meet in an event of `new` that `old` does not allow; nothing if it is compatible.

    Readers ignore properties that they do not know, so a new one is compatible. Each value that `new` allows must be
    one that `old` allows. Raises ValueError for a keyword that is not understood.
    """
    if unknown := (old.keys() | new.keys()) - UNDERSTOOD:
        raise ValueError(f"{path} has {', '.join(sorted(unknown))}, which this comparison does not know: add it")
    if "oneOf" in old or "oneOf" in new:
        yield from _variants(old, new, path)
        return
    yield from _values(old, new, path)
    for name in old.get("required", ()):
        if name not in new.get("required", ()):
            yield f"{path}.{name} was always there, and may be missing"
    for name, before in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from incompatibilities(before, new["properties"][name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is gone"
    if "items" in old:
        yield from incompatibilities(old["items"], new.get("items", {}), f"{path}[]")


def _variants(old: Schema, new: Schema, path: str) -> Iterator[str]:
    """Each variant of `new` must be compatible with one of `old`."""
    for number, variant in enumerate(new.get("oneOf", [new])):
        found = [list(incompatibilities(one, variant, path)) for one in old.get("oneOf", [old])]
        if all(found):
            yield f"{path}: variant {number} is none of before ({min(found, key=len)[0]})"


def _values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    if "type" in old and not _types(new) <= _types(old):
        yield f"{path} may be {', '.join(sorted(_types(new) - _types(old)))}, and was {', '.join(sorted(_types(old)))}"
    allowed = _allowed(old)
    if allowed is not None and not (_allowed(new) or {None}) <= allowed:
        yield f"{path} may be a value that is none of {', '.join(sorted(map(str, allowed)))}"
    for name, kinds in LOWER_BOUNDS.items():
        if name in old and _limits(kinds, new) and new.get(name, float("-inf")) < old[name]:
            yield f"{path} may be less than its {name}, {old[name]}"
    for name, kinds in UPPER_BOUNDS.items():
        if name in old and _limits(kinds, new) and new.get(name, float("inf")) > old[name]:
            yield f"{path} may be more than its {name}, {old[name]}"
    for name, kinds in SAME.items():
        if name in old and _limits(kinds, new) and new.get(name) != old[name]:
            yield f"{path} has another {name} than {old[name]}"


def _limits(kinds: set[str], schema: Schema) -> bool:
    """Whether a schema allows values of these types."""
    return bool(_types(schema) & {*kinds, ANY})


def _types(schema: Schema) -> set[str]:
    """The JSON types that a schema allows; `any` without a limit."""
    kinds = schema.get("type", ANY)
    return set(kinds) if isinstance(kinds, list) else {kinds}


def _allowed(schema: Schema) -> set[Any] | None:
    """The values that a schema names; None if it names none."""
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None
