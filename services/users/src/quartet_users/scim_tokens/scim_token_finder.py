"""Finds SCIM tokens and stores when they were last used."""

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

LAST_USE_INTERVAL = timedelta(minutes=1)
"""Shortest time between two writes of `last_used_at`."""


class ScimTokens:
    """Finds SCIM tokens in the database and stores their uses."""

    def __init__(self, database: Callable[[], Database], clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._uses = LastUses(database)

    async def principal(self, token: str) -> Principal | None:
        """The principal of `token`; None for an unknown one. Raises UnauthorizedError with the reason `expired` or
        `revoked`, and UnavailableError.
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
        """The stored data of `token`, also if it is revoked or expired. Raises UnavailableError."""
        tenant = tenant_of(SCIM_TOKEN, token)
        if tenant is None:
            return None
        async with self._database().connection() as connection:
            return await store.find_scim_token(connection, tenant, digest(token))

    def used(self, token: ScimToken) -> None:
        """Store that the token is used now; returns at once, without I/O."""
        now = self._clock()
        if token.last_used_at is None or now - token.last_used_at >= LAST_USE_INTERVAL:
            self._uses.note(token, now)


class LastUses:
    """Stores the last uses of tokens in the background, many by one statement."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._pending: dict[tuple[str, UUID], datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, token: ScimToken, now: datetime) -> None:
        """Schedule the write of a use; returns at once."""
        self._pending[token.tenant, token.id] = now
        if self._task is None or self._task.done():
            with as_own_work():  # it writes uses of many tenants
                self._task = asyncio.get_running_loop().create_task(self._write(self._database()))

    async def _write(self, database: Database) -> None:
        while self._pending:
            uses, self._pending = self._pending, {}
            try:
                async with database.transaction() as connection:
                    await store.note_uses(connection, uses, LAST_USE_INTERVAL)
            except (ServiceError, asyncpg.PostgresError) as error:  # the next use is written again
                logger.info("cannot record when tokens were last used", extra={"error": repr(error)[:300]})
