"""SCIM tokens: long-lived opaque bearer tokens for identity providers, made, found and revoked."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from quartet_common.auth.opaque_tokens import SCIM_TOKEN, digest, make, tenant_of
from quartet_common.auth.principal import Principal
from quartet_common.auth.revocations import revocation
from quartet_common.auth.scopes import PRIVILEGED_WRITE
from quartet_common.core.caller import Caller
from quartet_common.core.clock import Clock
from quartet_common.core.errors import NotFoundError, ServiceError, UnauthorizedError
from quartet_common.core.fair_share import as_own_work
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.messaging import outbox
from quartet_common.runtime.container import AppContainer
from quartet_users.config import UsersConfig
from quartet_users.scim_tokens import scim_token_events
from quartet_users.scim_tokens import scim_token_store as store
from quartet_users.tokens.token_revocation import revoke

logger = logging.getLogger(__name__)

Container = AppContainer[UsersConfig]

DEFAULT_SCOPES = frozenset({"users:read", "users:write", "groups:read", "groups:write"})
"""What a SCIM token has where no scopes are named."""
SCOPES = DEFAULT_SCOPES | {PRIVILEGED_WRITE}
"""All that a SCIM token can have."""
MAX_VALID = 100
"""Tokens of a tenant that can be used at the same time: a bound on mistakes, not a promise to the one."""
KEPT = timedelta(days=90)
"""How long a token that has ended is still listed."""
GRAIN = timedelta(minutes=1)
"""How exactly it is known when a token was used last."""
LOOK_AGAIN = 60
"""Seconds after which a process that knows a token looks again what it stands for."""
HINT_LENGTH = 4


@dataclass(frozen=True)
class NewScimToken:
    """What a token is to be. It has no end where `expires_at` is None. `client_id` is the API client, if any, that may
    revoke the token by RFC 7009; the token speaks for itself all the same.
    """

    name: str
    scopes: frozenset[str] = DEFAULT_SCOPES
    expires_at: datetime | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class ScimToken:
    """What is known of a token of `tenant`, which is not the token itself."""

    tenant: str
    id: UUID
    name: str
    scopes: frozenset[str]
    client_id: str | None
    hint: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @classmethod
    def of(cls, tenant: str, row: asyncpg.Record) -> "ScimToken":
        """The token of a row of `scim_token_store.COLUMNS`."""
        return cls(tenant, **{**row, "scopes": frozenset(row["scopes"])})

    @property
    def subject(self) -> str:
        """Who the token speaks for: itself; what is done with it stands under this name in the audit log."""
        return f"scim-token/{self.id}"

    def has_ended(self, now: datetime) -> bool:
        """Whether the token was revoked, or its time is over."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)

    def principal(self, now: datetime) -> Principal:
        """Who the token speaks for, as it is found `now`: issued now, since what ended before does not matter any more,
        and to be looked at again in LOOK_AGAIN seconds.
        """
        until = int(now.timestamp()) + LOOK_AGAIN
        if self.expires_at is not None:
            until = min(until, int(self.expires_at.timestamp()))
        return Principal(
            self.tenant, self.subject, self.subject, self.scopes, until, str(self.id), issued_at=now.timestamp()
        )


@dataclass(frozen=True)
class CreatedScimToken:
    """A new token, and `secret`, the bearer token that is shown once."""

    token: ScimToken
    secret: str = field(repr=False)


async def add_scim_token(
    container: Container, connection: Connection, caller: Caller, wanted: NewScimToken
) -> CreatedScimToken:
    """Make a token within the transaction of `connection`; whether the caller may give its scopes is decided before.

    Raises ValueError for scopes that no SCIM token can have, ServiceError 409 when the tenant has too many tokens.
    """
    if not wanted.scopes or not wanted.scopes <= SCOPES:
        raise ValueError(f"a SCIM token has some of the scopes {', '.join(sorted(SCOPES))}")
    now = container.clock()
    await store.forget_ended(connection, caller.tenant, now - KEPT)
    if await store.count_valid(connection, caller.tenant, now) >= MAX_VALID:
        raise ServiceError(
            409, "too_many_scim_tokens", f"A tenant has at most {MAX_VALID} valid SCIM tokens. Revoke one first."
        )
    secret = make(SCIM_TOKEN, caller.tenant)
    made = ScimToken(
        tenant=caller.tenant,
        id=new_id(),
        name=wanted.name,
        scopes=wanted.scopes,
        client_id=wanted.client_id,
        hint=f"{SCIM_TOKEN}{caller.tenant}_...{secret[-HINT_LENGTH:]}",
        created_at=now,
        created_by=caller.actor,
        expires_at=wanted.expires_at,
    )
    await _insert(connection, made, secret)
    told = [scim_token_events.scim_token_created(made)]
    await outbox.add(connection, caller, told, now=now, service=container.config.service)
    return CreatedScimToken(made, secret)


async def _insert(connection: Connection, made: ScimToken, secret: str) -> None:
    await store.insert_scim_token(
        connection,
        made.tenant,
        made.id,
        digest(secret),
        name=made.name,
        scopes=sorted(made.scopes),
        client_id=made.client_id,
        hint=made.hint,
        created_at=made.created_at,
        created_by=made.created_by,
        expires_at=made.expires_at,
    )


async def create_scim_token(container: Container, caller: Caller, wanted: NewScimToken) -> CreatedScimToken:
    """Make a token. Raises what `add_scim_token` raises."""
    async with container.database.transaction() as connection:
        return await add_scim_token(container, connection, caller, wanted)


async def revoke_scim_token(container: Container, caller: Caller, token_id: UUID) -> None:
    """End a token at once; one that was revoked before stays so. Raises NotFoundError."""
    now = container.clock()
    async with container.database.transaction() as connection:
        row = await store.mark_revoked(connection, caller.tenant, token_id, now)
        if row is not None:
            told = [scim_token_events.scim_token_revoked(ScimToken.of(caller.tenant, row))]
            await outbox.add(connection, caller, told, now=now, service=container.config.service)
            await revoke(container, connection, caller, [revocation(caller.tenant, "token", token_id, now)])
        elif await store.read_scim_token(connection, caller.tenant, token_id) is None:
            raise NotFoundError


class ScimTokens:
    """Finds what tokens stand for, in the database; each use is noted."""

    def __init__(self, database: Callable[[], Database], clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._uses = LastUses(database)

    async def principal(self, token: str) -> Principal | None:
        """Who `token` speaks for; None when it is nobody's. Raises UnauthorizedError for one that has ended, whose
        reason says how, and UnavailableError.
        """
        found = await self.find(token)
        if found is None:
            return None
        now = self._clock()
        if found.has_ended(now):
            raise UnauthorizedError("expired" if found.revoked_at is None else "revoked")
        self.used(found)
        return found.principal(now)

    async def find(self, token: str) -> ScimToken | None:
        """What is known of `token`, also of one that has ended. Raises UnavailableError."""
        tenant = tenant_of(SCIM_TOKEN, token)
        if tenant is None:
            return None
        async with self._database().connection() as connection:
            row = await store.find_scim_token(connection, tenant, digest(token))
        return None if row is None else ScimToken.of(tenant, row)

    def used(self, token: ScimToken) -> None:
        """Have it known that the token is used now; costs the caller no I/O."""
        now = self._clock()
        if token.last_used_at is None or now - token.last_used_at >= GRAIN:
            self._uses.note(token, now)


class LastUses:
    """Writes down when tokens were last used, after the request that used them and many in one statement."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._pending: dict[tuple[str, UUID], datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, token: ScimToken, now: datetime) -> None:
        """Have the use written soon; returns at once."""
        self._pending[token.tenant, token.id] = now
        if self._task is None or self._task.done():
            with as_own_work():  # many tenants' uses are written at once
                self._task = asyncio.get_running_loop().create_task(self._write(self._database()))

    async def _write(self, database: Database) -> None:
        while self._pending:
            uses, self._pending = self._pending, {}
            try:
                async with database.transaction() as connection:
                    await store.note_uses(connection, uses, GRAIN)
            except (ServiceError, asyncpg.PostgresError) as error:  # the next use is noted again
                logger.info("cannot record when tokens were last used", extra={"error": repr(error)[:300]})
