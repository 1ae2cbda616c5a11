"""The revocation list: the revocations in the memory of an api."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from quartet_common.auth.principal import Principal
from quartet_common.auth.revocation_store import READ, revocation_of
from quartet_common.auth.revocations import CLOCKS, KEPT, Revocation
from quartet_common.core.errors import UnavailableError
from quartet_common.core.offload import slices
from quartet_common.data.database import Database

MAX_AGE = 15.0
"""Maximum age of the list in seconds; requests get 503 while it is older."""

FORGET_INTERVAL = 60.0
"""Seconds between two removals of expired revocations."""

AT_ONCE = 1000
"""Revocations that are loaded at a time, before other tasks run."""

IAT_PRECISION = 0.001
"""Seconds: access tokens have rounded times of issue."""


class Held(NamedTuple):
    """A revocation in memory: tokens issued up to `until` are refused; it is removed after `last`. Both in seconds
    since the epoch.
    """

    until: float
    revoked_at: float
    last: float


class RevocationList:
    """The revocations in memory, loaded repeatedly by `refresh`."""

    def __init__(
        self,
        database: Callable[[], Database],
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._now = now
        self._wall = wall
        self._held: dict[str, dict[tuple[str, str], Held]] = {}
        self._horizon = "0"
        self._read_at = float("-inf")
        self._forgot_at = float("-inf")

    def reason(self, principal: Principal) -> str | None:
        """The reason code if the token is revoked, else None. No I/O.

        Raises UnavailableError (503) while the list is older than MAX_AGE.
        """
        if self._now() - self._read_at > MAX_AGE:
            raise UnavailableError("postgresql")
        held = self._held.get(principal.tenant)
        if held is None:
            return None
        issued = principal.issued_at
        if _refuses(held.get(("tenant", principal.tenant)), issued):
            return "tenant_suspended"
        if (
            ("token", principal.token_id) in held
            or (principal.session is not None and ("session", principal.session) in held)
            or _refuses(held.get(("subject", principal.actor)), issued)
            or _refuses(held.get(("client", principal.client_id)), issued)
        ):
            return "revoked"
        return None

    @property
    def age(self) -> float:
        """Seconds since the list was last loaded."""
        return self._now() - self._read_at

    def add(self, revocations: Sequence[Revocation]) -> None:
        """Add `revocations` at once, without waiting for `refresh`.

        No effect before the first `refresh`, which loads them anyway: a worker verifies no tokens and never refreshes,
        so its list would only grow.
        """
        if self._read_at == float("-inf"):
            return
        for one in revocations:
            self._hold(one)

    async def refresh(self) -> None:
        """Load new revocations and remove expired ones. Raises UnavailableError."""
        started = self._now()
        async with self._database().connection() as connection:
            rows = await connection.fetch(READ, self._horizon)
        for some in slices(rows, AT_ONCE):
            for row in some:
                if row["tenant_id"] is not None:
                    self._hold(revocation_of(row))
            await asyncio.sleep(0)
        horizon = str(rows[0]["horizon"])
        # the transaction ids of a restored database are smaller: load everything again
        self._horizon = horizon if int(horizon) >= int(self._horizon) else "0"
        self._read_at = started
        if started - self._forgot_at > FORGET_INTERVAL:
            self._forgot_at = started
            await self._forget(self._wall())

    def _hold(self, one: Revocation) -> None:
        held = self._held.setdefault(one.tenant, {})
        previous = held.get((one.kind, one.id))
        revoked_at = one.revoked_at.timestamp()
        # `add` may be newer than a `refresh` that began before
        if previous is None or previous.revoked_at <= revoked_at:
            lifted = float("-inf") if one.kind == "tenant" else revoked_at + IAT_PRECISION
            until = float("inf") if one.endless else lifted
            held[one.kind, one.id] = Held(until, revoked_at, _last(one, revoked_at))

    async def _forget(self, now: float) -> None:
        for tenant, held in list(self._held.items()):
            for some in slices(list(held.items()), AT_ONCE):
                for key, one in some:
                    if one.last < now and held.get(key) is one:  # unless it was added again while other tasks ran
                        del held[key]
                await asyncio.sleep(0)
            if not held:
                del self._held[tenant]


def _last(one: Revocation, revoked_at: float) -> float:
    if one.endless:
        return float("inf")
    if one.expires_at is None:
        return revoked_at + KEPT.total_seconds()
    return one.expires_at.timestamp() + CLOCKS.total_seconds()


def _refuses(held: Held | None, issued: float) -> bool:
    return held is not None and held.until >= issued
