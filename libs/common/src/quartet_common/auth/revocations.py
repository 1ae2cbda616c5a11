"""Revocations: which tokens are refused before they expire, kept in each service's schema and in each api's memory."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

import msgspec

from quartet_common.auth.principal import Principal
from quartet_common.database import Connection, Database
from quartet_common.messaging.envelope import Event

Kind = Literal["token", "session", "subject", "client", "tenant"]
KINDS: tuple[Kind, ...] = get_args(Kind)

REVOKED = "users.token.revoked.v1"
"""The event that tells of a revocation."""
KEPT = timedelta(hours=2)
"""How long a revocation is kept: longer than any access token lives, whatever the clocks say."""
MAX_AGE = 15.0
"""Seconds after which a list that could not be read anew is not relied on any more."""


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of `tenant` that were issued until `revoked_at` are refused, if `kind` and `id` point at them: by their
    `jti`, `sid`, `sub`, `client_id`, or all of the tenant (`id` is then the tenant). An endless one holds whenever they
    were issued, until a later one of the same kind and id that is not endless takes its place.

    A tenant is refused endlessly or not at all: one of its kind that is not endless lifts the refusal, so that tokens
    which live for months count again at once when a suspended tenant is resumed.
    """

    tenant: str
    kind: Kind
    id: str
    revoked_at: datetime
    endless: bool = False


class RevocationFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of the event's data. `tenant` is not always the event's own: the platform suspends tenants."""

    tenant: str
    kind: Kind
    id: str
    revoked_at: datetime
    endless: bool


async def keep(connection: Connection, revocations: Sequence[Revocation]) -> None:
    """Store `revocations`; of each kind and id only the latest counts, in whatever order they come."""
    newest = {(one.tenant, one.kind, one.id): one for one in sorted(revocations, key=lambda one: one.revoked_at)}
    chosen = [newest[key] for key in sorted(newest)]
    await connection.execute(
        """
        INSERT INTO revocations AS known (tenant_id, kind, id, revoked_at, endless)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[])
        ON CONFLICT (tenant_id, kind, id) DO UPDATE
        SET revoked_at = excluded.revoked_at, endless = excluded.endless, written_by = pg_current_xact_id()
        WHERE known.revoked_at < excluded.revoked_at
        """,
        [one.tenant for one in chosen],
        [one.kind for one in chosen],
        [one.id for one in chosen],
        [one.revoked_at for one in chosen],
        [one.endless for one in chosen],
    )


async def happened(connection: Connection, events: Sequence[Event]) -> None:
    """Handle events of the type REVOKED: keep what they tell."""
    facts = [msgspec.convert(event.data, RevocationFacts) for event in events]
    await keep(connection, [Revocation(**msgspec.structs.asdict(one)) for one in facts])


async def prune(connection: Connection, now: datetime) -> None:
    """Forget revocations whose tokens have all expired."""
    await connection.execute("DELETE FROM revocations WHERE NOT endless AND revoked_at < $1", now - KEPT)


class RevocationList:
    """The revocations that an api has in memory, read anew again and again by `refresh`."""

    def __init__(self, database: Callable[[], Database], now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._now = now
        self._until: dict[tuple[str, str, str], float] = {}
        self._seen = "0"
        self._read_at = float("-inf")

    def reason(self, who: Principal) -> str | None:
        """Why the token is refused, as a reason code; None when it is not. Costs no I/O."""
        until = self._until
        if not until:
            return None
        tenant, issued = who.tenant, who.issued_at
        if until.get((tenant, "tenant", tenant), -1.0) >= issued:
            return "tenant_suspended"
        if (tenant, "token", who.token_id) in until:
            return "revoked"  # whenever it was issued: an opaque token is issued anew each time that it is looked up
        for kind, identifier in (("session", who.session or ""), ("subject", who.actor), ("client", who.client_id)):
            if until.get((tenant, kind, identifier), -1.0) >= issued:
                return "revoked"
        return None

    @property
    def age(self) -> float:
        """Seconds since the list was last read."""
        return self._now() - self._read_at

    def add(self, revocations: Sequence[Revocation]) -> None:
        """Hold `revocations` from now on, without waiting for the next reading."""
        for one in revocations:
            self._put(one.tenant, one.kind, one.id, one.revoked_at, endless=one.endless)

    async def refresh(self) -> None:
        """Read what has been written since the last time, and forget what is past."""
        started = self._now()
        async with self._database().snapshot() as connection:
            rows = await connection.fetch(
                """
                SELECT tenant_id, kind, id, revoked_at, endless FROM revocations WHERE written_by >= $1::text::xid8
                """,
                self._seen,
            )
            self._seen = str(await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"))
        for row in rows:
            self._put(row["tenant_id"], row["kind"], row["id"], row["revoked_at"], endless=row["endless"])
        past = (datetime.now(UTC) - KEPT).timestamp()
        if any(until < past for until in self._until.values()):
            self._until = {key: until for key, until in self._until.items() if until >= past}
        self._read_at = started

    def _put(self, tenant: str, kind: str, identifier: str, revoked_at: datetime, *, endless: bool) -> None:
        if kind == "tenant" and not endless:
            self._until.pop((tenant, kind, identifier), None)
        else:
            self._until[tenant, kind, identifier] = float("inf") if endless else revoked_at.timestamp()


def revocation(tenant: str, kind: Kind, identifier: UUID | str, at: datetime, *, endless: bool = False) -> Revocation:
    """A revocation that begins `at`."""
    return Revocation(tenant=tenant, kind=kind, id=str(identifier), revoked_at=at, endless=endless)
