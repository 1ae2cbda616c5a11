"""The rules for signing keys: which one is next, signs, only verifies, or is not used any more; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["next", "current", "retired", "over"]

PUBLISHED_FIRST = timedelta(seconds=60)
"""How long a key is published before it signs: as long as clients may cache the published keys."""
CLOCKS = timedelta(seconds=10)
"""The tolerated difference between clocks."""
SWITCHING = timedelta(seconds=60)
"""How long a process that could not read the keys may sign with a key after its successor has begun."""


@dataclass(frozen=True)
class KeyTimes:
    """A key with its creation and the time from which it signs, until the next one does."""

    id: str
    created: datetime
    signs_from: datetime


@dataclass(frozen=True)
class KeyState:
    """The state of a key at a time; `verifies_until` is the expiry of its last token, None while it may sign."""

    times: KeyTimes
    state: State
    verifies_until: datetime | None


def states(keys: Sequence[KeyTimes], now: datetime, token_lifetime: int) -> list[KeyState]:
    """The state of each key `now`, newest first. `token_lifetime` is in seconds."""
    kept = timedelta(seconds=token_lifetime) + CLOCKS + SWITCHING
    found: list[KeyState] = []
    successor: KeyTimes | None = None
    for key in sorted(keys, key=lambda key: (key.signs_from, key.created, key.id), reverse=True):
        if key.signs_from > now:
            found.append(KeyState(key, "next", None))
        elif successor is None:
            found.append(KeyState(key, "current", None))
            successor = key
        else:
            until = successor.signs_from + kept
            found.append(KeyState(key, "retired" if until > now else "over", until))
            successor = key
    return found


def is_due(found: Sequence[KeyState], now: datetime, lifetime: timedelta) -> bool:
    """Whether a new key is due: the current one has signed for `lifetime`, and there is no next one."""
    signing = [one for one in found if one.state == "current"]
    return all(one.state != "next" for one in found) and all(one.times.signs_from + lifetime <= now for one in signing)
