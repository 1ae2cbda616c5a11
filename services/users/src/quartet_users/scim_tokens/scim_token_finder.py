"""Finds SCIM tokens and notes when they were last used."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from quartet_common.auth.opaque_tokens import SCIM_TOKEN, digest, tenant_of
from quartet_common.auth.principal import Principal
from quartet_common.core.clock import Clock
from quartet_common.core.errors import ServiceError, UnauthorizedError
from quartet_common.core.fair_share import as_own_work
from quartet_common.data.database import Database
from quartet_users.scim_tokens import scim_token_store as store
from quartet_users.scim_tokens.scim_token_domain import ScimToken

logger = logging.getLogger(__name__)

GRAIN = timedelta(minutes=1)
"""How exactly it is known when a token was used last."""


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
        return None if row is None else store.token_of(tenant, row)

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
