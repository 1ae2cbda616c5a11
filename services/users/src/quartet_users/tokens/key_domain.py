"""The rules for signing keys: which is to come, which signs, which only verifies, and which is over; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["next", "current", "retired", "over"]

PUBLISHED_FIRST = timedelta(seconds=60)
"""How long a key is published before it signs: as long as whoever asks may keep the published keys."""
CLOCKS = timedelta(seconds=10)
"""By how much the clocks of two machines may differ, and what verifiers grant for it."""
SWITCHING = timedelta(seconds=60)
"""How long after its successor has begun a process may sign with a key, if it could not look for a new one."""


@dataclass(frozen=True)
class KeyTimes:
    """A key, when it was made, and from when it signs, until the next one does."""

    id: str
    created: datetime
    signs_from: datetime


@dataclass(frozen=True)
class KeyState:
    """What a key is at some moment; `verifies_until` is when its last token has expired, None while it may sign."""

    times: KeyTimes
    state: State
    verifies_until: datetime | None


def states(keys: Sequence[KeyTimes], now: datetime, token_lifetime: int) -> list[KeyState]:
    """What each of `keys` is `now`, newest first. `token_lifetime`: seconds."""
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
    """Whether it is time for another key: the one that signs has done so for `lifetime`, and none is to come."""
    signing = [one for one in found if one.state == "current"]
    return all(one.state != "next" for one in found) and all(one.times.signs_from + lifetime <= now for one in signing)
