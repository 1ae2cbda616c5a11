"""Revocations: which tokens are refused before they expire, kept in each service's schema and in each api's memory."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from quartet_common.auth.principal import Principal
from quartet_common.core.errors import UnavailableError
from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.messaging.envelope import Event

Kind = Literal["token", "session", "subject", "client", "tenant"]

REVOKED = "users.token.revoked.v1"
"""The event that tells of a revocation."""
KEPT = timedelta(hours=2)
"""How long a revocation is kept of which nobody said when its tokens expire: longer than any access token lives,
whatever the clocks say."""
CLOCKS = timedelta(minutes=1)
"""How long a revocation is kept after its last token has expired: by so much clocks may differ, and more."""
MAX_AGE = 15.0
"""Seconds after which a list that could not be read anew is not relied on any more: who asks then gets 503."""
FORGET_INTERVAL = 60.0
"""Seconds between two looks for what need not be in memory any more."""
AT_ONCE = 1000
"""Revocations that are taken into memory before requests have their turn again."""
IAT_PRECISION = 0.001
"""Seconds: access tokens tell in whole milliseconds when they were issued, rounded to either side."""

# One statement, so one snapshot: what it does not see was written by transactions that are not older than its xmin.
READ = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, tenant_id, kind, id, revoked_at, endless, expires_at
FROM (VALUES (1)) AS always LEFT JOIN revocations ON written_by >= $1::text::xid8"""


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of `tenant` that were issued until `revoked_at` are refused, if `kind` and `id` point at them: by their
    `jti`, `sid`, `sub`, `client_id`, or all of the tenant (`id` is then the tenant). An endless one holds whenever they
    were issued, until a later one of the same kind and id that is not endless takes its place. A `jti` and a `sid` are
    never used again, so their tokens are refused whenever they were issued, whatever the clocks say.

    A tenant is refused endlessly or not at all: one of its kind that is not endless lifts the refusal, so that tokens
    which live for months count again at once when a suspended tenant is resumed.

    `expires_at` is when the last of the tokens expires, after which the revocation is forgotten; None where that is not
    known.
    """

    tenant: str
    kind: Kind
    id: str
    revoked_at: datetime
    endless: bool = False
    expires_at: datetime | None = None


class RevocationFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of the event's data. `tenant` is not always the event's own: the platform suspends tenants."""

    tenant: str
    kind: Kind
    id: str
    revoked_at: datetime
    endless: bool
    expires_at: datetime | None = None


def lane(service: str) -> str:
    """The name of the consumer of `service` that takes revocations alone, so that they wait behind nothing else."""
    return f"{service}.revocations"


async def keep(connection: Connection, revocations: Sequence[Revocation]) -> None:
    """Store `revocations`; of each kind and id only the latest counts, in whatever order they come."""
    newest = {(one.tenant, one.kind, one.id): one for one in sorted(revocations, key=lambda one: one.revoked_at)}
    chosen = [newest[key] for key in sorted(newest)]
    await connection.execute(
        """
        INSERT INTO revocations AS known (tenant_id, kind, id, revoked_at, endless, expires_at)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[], $6::timestamptz[])
        ON CONFLICT (tenant_id, kind, id) DO UPDATE
        SET revoked_at = excluded.revoked_at, endless = excluded.endless, expires_at = excluded.expires_at,
            written_by = pg_current_xact_id()
        WHERE known.revoked_at < excluded.revoked_at
        """,
        [one.tenant for one in chosen],
        [one.kind for one in chosen],
        [one.id for one in chosen],
        [one.revoked_at for one in chosen],
        [one.endless for one in chosen],
        [one.expires_at for one in chosen],
    )


async def happened(connection: Connection, events: Sequence[Event]) -> None:
    """Handle events of the type REVOKED: keep what they tell. Twice is as good as once."""
    facts = [msgspec.convert(event.data, RevocationFacts) for event in events]
    await keep(connection, [Revocation(**msgspec.structs.asdict(one)) for one in facts])


async def prune(connection: Connection, now: datetime) -> None:
    """Forget revocations whose tokens have all expired."""
    await connection.execute(
        """
        DELETE FROM revocations
        WHERE NOT endless AND (expires_at < $1 OR (expires_at IS NULL AND revoked_at < $2))
        """,
        now - CLOCKS,
        now - KEPT,
    )


class Held(NamedTuple):
    """A revocation in memory: tokens issued `until` then are refused, and it is forgotten after `last`. All in seconds
    since the epoch.
    """

    until: float
    revoked_at: float
    last: float


class RevocationList:
    """The revocations that an api has in memory, read anew again and again by `refresh`."""

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

    def reason(self, who: Principal) -> str | None:
        """Why the token is refused, as a reason code; None when it is not. Costs no I/O.

        Raises UnavailableError (503) while the list is older than MAX_AGE: nobody can tell then.
        """
        if self._now() - self._read_at > MAX_AGE:
            raise UnavailableError("postgresql")
        held = self._held.get(who.tenant)
        if held is None:
            return None
        issued = who.issued_at
        if _refuses(held.get(("tenant", who.tenant)), issued):
            return "tenant_suspended"
        if (
            ("token", who.token_id) in held
            or (who.session is not None and ("session", who.session) in held)
            or _refuses(held.get(("subject", who.actor)), issued)
            or _refuses(held.get(("client", who.client_id)), issued)
        ):
            return "revoked"
        return None

    @property
    def age(self) -> float:
        """Seconds since the list was last read."""
        return self._now() - self._read_at

    def add(self, revocations: Sequence[Revocation]) -> None:
        """Hold `revocations` from now on, without waiting for the next reading.

        Does nothing before the first reading, which finds them anyway: a worker verifies no tokens, never reads the
        list, and would never forget what it holds.
        """
        if self._read_at == float("-inf"):
            return
        for one in revocations:
            self._hold(one)

    async def refresh(self) -> None:
        """Read what has been written since the last time, and forget what is past. Raises UnavailableError."""
        started = self._now()
        async with self._database().connection() as connection:
            rows = await connection.fetch(READ, self._horizon)
        for some in slices(rows, AT_ONCE):
            for row in some:
                if row["tenant_id"] is not None:
                    self._hold(_read(row))
            await asyncio.sleep(0)
        horizon = str(rows[0]["horizon"])
        # a database that was put back to an earlier state counts its transactions from there: everything is read again
        self._horizon = horizon if int(horizon) >= int(self._horizon) else "0"
        self._read_at = started
        if started - self._forgot_at > FORGET_INTERVAL:
            self._forgot_at = started
            await self._forget(self._wall())

    def _hold(self, one: Revocation) -> None:
        held = self._held.setdefault(one.tenant, {})
        known = held.get((one.kind, one.id))
        revoked_at = one.revoked_at.timestamp()
        if known is None or known.revoked_at <= revoked_at:  # a reading may have begun before what `add` has put here
            lifted = float("-inf") if one.kind == "tenant" else revoked_at + IAT_PRECISION
            until = float("inf") if one.endless else lifted
            held[one.kind, one.id] = Held(until, revoked_at, _last(one, revoked_at))

    async def _forget(self, now: float) -> None:
        for tenant, held in list(self._held.items()):
            for some in slices(list(held.items()), AT_ONCE):
                for key, one in some:
                    if one.last < now and held.get(key) is one:  # or else it came anew while requests had their turn
                        del held[key]
                await asyncio.sleep(0)
            if not held:
                del self._held[tenant]


def _read(row: asyncpg.Record) -> Revocation:
    return Revocation(
        tenant=row["tenant_id"],
        kind=row["kind"],
        id=row["id"],
        revoked_at=row["revoked_at"],
        endless=row["endless"],
        expires_at=row["expires_at"],
    )


def _last(one: Revocation, revoked_at: float) -> float:
    if one.endless:
        return float("inf")
    if one.expires_at is None:
        return revoked_at + KEPT.total_seconds()
    return one.expires_at.timestamp() + CLOCKS.total_seconds()


def _refuses(held: Held | None, issued: float) -> bool:
    return held is not None and held.until >= issued


def revocation(
    tenant: str,
    kind: Kind,
    identifier: UUID | str,
    at: datetime,
    *,
    endless: bool = False,
    expires_at: datetime | None = None,
) -> Revocation:
    """A revocation that begins `at`."""
    return Revocation(
        tenant=tenant, kind=kind, id=str(identifier), revoked_at=at, endless=endless, expires_at=expires_at
    )
