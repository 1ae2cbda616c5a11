"""Erasure of a person: which names the log has recorded for a user, and which parts of entries mention them."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec

from quartet_audit.leaves.leaf_domain import PERSONAL_PARTS
from quartet_common.core.identifiers import parse_id

Parts = Mapping[str, Any]
"""A row with the JSON of each personal part, or None."""

USER_NAME = "userName"
EMAIL = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+")
MIN_WORD = 6
"""Minimum characters of a name that is also searched inside longer texts; `admin` would be in texts about others."""
MAX_NAMES = 1000
"""Names of one user that are searched; the time of a search grows with them."""
OWN_ACTIONS = "users."
"""The events whose data names users. An application may send events about a user with any data: `app.*`."""
COMMON_MEMBERS = {"user_agent", "actor_type", "type"}
"""Members whose values many entries share, such as Mozilla or user: a name there does not mean the user."""
WORD = re.compile(r"\w+")

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Erasure:
    """A request to erase the user `user` from the entries of a log below `size`; those below `searched` are done."""

    tenant: str
    id: UUID
    user: str
    actor: str
    requested_at: datetime
    size: int
    searched: int
    entries: int
    parts: int
    completed_at: datetime | None


def recorded_names(rows: Iterable[Mapping[str, Any]], known: Collection[str] = ()) -> set[str]:
    """`known` with the names and e-mail addresses that `rows` have for the user, at most MAX_NAMES. Each row has the
    parts of an entry, its `action`, `is_by_user` and `is_of_user`.
    """
    names = set(known)
    for row in rows:
        found = names_as_actor(row) if row["is_by_user"] else set()
        if row["is_of_user"] and row["action"].startswith(OWN_ACTIONS):
            found |= names_as_resource(row)
        names.update(islice(sorted(found - names), MAX_NAMES - len(names)))
    return names


def names_as_actor(parts: Parts) -> set[str]:
    """The names that an entry of which the user is the actor has for it."""
    return _names(parts, "actor", "actor_name")


def names_as_resource(parts: Parts) -> set[str]:
    """The names and e-mail addresses that an entry of which the user is the resource has for it."""
    return _names(parts, "resource", "resource_name") | set(_recorded(_load(parts["changes"])))


def _names(parts: Parts, part: str, member: str) -> set[str]:
    name = _load(parts[part]).get(member)
    return {name} if name else set()


def _load(content: bytes | None) -> dict[str, Any]:
    return {} if content is None else dict(_decode(content))


def _recorded(value: Any, is_name: bool = False) -> Iterator[str]:
    """The user names and e-mail addresses in the data of an event about the user, however deep."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _recorded(one, is_name or key == USER_NAME)
    elif isinstance(value, list):
        for one in value:
            yield from _recorded(one, is_name)
    elif isinstance(value, str) and value and (is_name or EMAIL.fullmatch(value)):
        yield value


class Mentions:
    """Finds entries that mention a user by one of `values`: its id, names and e-mail addresses; upper case is ignored.

    A value is found as a word in any text; a short one only as a whole text, or between the slashes of a path. In names
    of members and in COMMON_MEMBERS only UUIDs and e-mail addresses are found, since many entries have the same
    other words there.
    """

    def __init__(self, values: Collection[str]) -> None:
        self._values = _Values(values)
        self._unique = _Values([one for one in values if parse_id(one) is not None or EMAIL.fullmatch(one)])

    def are_in(self, parts: Parts) -> bool:
        """Whether one of the values is in one of `parts`."""
        return any(
            (self._unique if is_common else self._values).are_in(text.casefold())
            for part in PERSONAL_PARTS
            for text, is_common in _texts(_load(parts[part]))
        )


class _Values:
    """Values by their first word: one regex of a thousand values would take 0.3 s for a long text, and other threads
    would wait for it.
    """

    def __init__(self, values: Collection[str]) -> None:
        self._whole = set[str]()
        self._by_word: dict[str, list[tuple[str, int]]] = {}
        for value in {value.casefold() for value in values}:
            first = WORD.search(value)
            if first is None or len(value) < MIN_WORD:
                self._whole.add(value)
            else:
                self._by_word.setdefault(first[0], []).append((value, first.start()))

    def are_in(self, text: str) -> bool:
        """Whether one of the values is in `text`, whose case is folded."""
        if not self._whole.isdisjoint((text, *text.split("/"))):
            return True
        return any(
            _is_at(text, value, word.start() - offset)
            for word in WORD.finditer(text)
            for value, offset in self._by_word.get(word[0], ())
        )


def _is_at(text: str, value: str, start: int) -> bool:
    """Whether `value` is in `text` at `start`, and no part of a longer word."""
    if start < 0 or not text.startswith(value, start):
        return False
    is_inside = start > 0 and WORD.match(text, start - 1)
    return not is_inside and not WORD.match(text, start + len(value))


def _texts(value: Any, is_common: bool = False) -> Iterator[tuple[str, bool]]:
    """The texts in a JSON value, each with whether it is a name of a member or a value of COMMON_MEMBERS."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key, True
            yield from _texts(one, is_common or key in COMMON_MEMBERS)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, is_common)
    elif isinstance(value, str):
        yield value, is_common
