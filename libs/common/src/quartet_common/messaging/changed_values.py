"""Changed values: what an update event says of each attribute that changed, with secrets masked and sizes bounded."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

MASK = "***"
SECRET = re.compile("password|secret|token|hash|credential|private", re.IGNORECASE)
"""Attributes with such a name are masked, whatever schema defines them."""
MAX_VALUE = 1024
"""Bytes of the JSON of one value. Of a longer text the first CUT_TEXT characters are kept, of anything else nothing."""
CUT_TEXT = 256
MAX_CHANGES = 100
MAX_TOTAL = 16 * 1024
"""Paths in one event, and bytes of the JSON of all of them; the others are counted."""


class _Changed(NamedTuple):
    """A changed attribute; a value that is not there is None."""

    path: str
    before: Any
    after: Any


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any], changed: Iterable[str]) -> dict[str, Any]:
    """The members `changes` and, if some were left out, `changesOmitted` of the data of an event.

    `changes` is a list of `{"path", "before", "after", "cut"}` sorted by path: `name.familyName`, or after a schema URN
    `<urn>:department`; arrays are one value. `before` or `after` is left out if the attribute had no value, `cut` is
    true if a value is too long. `changed` are the attributes that changed; one without values, such as `password`, is
    masked. Values must be JSON.
    """
    found: list[dict[str, Any]] = []
    size = omitted = 0
    for one in sorted(_found(before, after, changed), key=lambda one: one.path):
        change = _described(one)
        size += len(orjson.dumps(change))
        if len(found) < MAX_CHANGES and size <= MAX_TOTAL:
            found.append(change)
        else:
            omitted += 1
    return {"changes": found, **({"changesOmitted": omitted} if omitted else {})}


def _found(before: Mapping[str, Any], after: Mapping[str, Any], changed: Iterable[str]) -> Iterator[_Changed]:
    for name in changed:
        if name in before or name in after:
            yield from _differences("", name, before.get(name), after.get(name))
        else:
            yield _Changed(name, MASK, MASK)


def _differences(parent: str, name: str, before: Any, after: Any) -> Iterator[_Changed]:
    """What differs in an attribute: the sub-attributes of objects one by one, everything else as a whole."""
    path = f"{parent}{name}"
    if before == after:
        return
    if SECRET.search(name.rpartition(":")[2]):
        yield _Changed(path, *(None if value is None else MASK for value in (before, after)))
    elif isinstance(before, dict | None) and isinstance(after, dict | None):
        old, new = before or {}, after or {}
        separator = ":" if name.startswith("urn:") else "."
        for part in old.keys() | new.keys():
            yield from _differences(f"{path}{separator}", part, old.get(part), new.get(part))
    else:
        yield _Changed(path, before, after)


def _described(one: _Changed) -> dict[str, Any]:
    change: dict[str, Any] = {"path": one.path}
    for name, value in (("before", one.before), ("after", one.after)):
        if value is None:
            continue
        kept = _masked(value)
        if len(orjson.dumps(kept)) <= MAX_VALUE:
            change[name] = kept
            continue
        change["cut"] = True
        if isinstance(kept, str):
            change[name] = kept[:CUT_TEXT]
    return change


def _masked(value: Any) -> Any:
    """`value` without the secrets in the objects of an array."""
    if isinstance(value, dict):
        return {name: MASK if SECRET.search(name) else _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value
