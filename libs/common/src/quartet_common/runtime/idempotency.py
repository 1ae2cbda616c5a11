"""Idempotency keys: a POST that is sent again with its key has its effect once, and gets the first response.

    claim(key)                 -> a row, in a transaction of its own: other requests with the key wait
    unit of work, at its end   -> `Claim.confirm`, in the transaction of the change
    response                   -> `Claim.save`, encrypted, for 24 hours; after an error `Claim.release`

A process that ends before the commit leaves a claim that another request takes over after a minute. One that ends
between commit and `save` loses the response, not the effect.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID, uuid4

from quartet_common.core.caller import Caller
from quartet_common.core.errors import ServiceError
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.runtime import idempotency_store
from quartet_common.runtime.idempotency_store import Known


class TakenOverError(ServiceError):
    """409: the request took so long that another one with its key has taken over; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            409,
            "idempotency_key_taken_over",
            "Another request with this Idempotency-Key has begun since this one stopped answering. Read its response "
            "by sending the request again.",
        )


@dataclass(frozen=True)
class Claim:
    """The claim of the running request to the key of its caller."""

    database: Database
    tenant: str
    actor: str
    key: bytes
    token: UUID

    async def confirm(self, connection: Connection) -> None:
        """Record in the transaction of the change that it is done. Raises TakenOverError (409)."""
        if not await idempotency_store.confirm(connection, self.tenant, self.actor, self.key, self.token):
            raise TakenOverError

    async def save(self, response: str) -> None:
        """Keep the encrypted response."""
        async with self.database.statement() as connection:
            await idempotency_store.save(connection, self.tenant, self.actor, self.key, self.token, response)

    async def release(self) -> None:
        """Let other requests use the key, unless the change is committed."""
        async with self.database.statement() as connection:
            await idempotency_store.release(connection, self.tenant, self.actor, self.key, self.token)


CLAIM: ContextVar[Claim | None] = ContextVar("quartet_idempotency_claim", default=None)
"""The claim of the running request; None without a key."""


async def claim_or_read(database: Database, caller: Caller, key: bytes, request: bytes) -> Claim | Known | None:
    """A claim to `key`, or what is known of it; None if another request was faster. Both are SHA-256 hashes."""
    token = uuid4()
    async with database.statement() as connection:
        known = await idempotency_store.read(connection, caller.tenant, caller.actor, key)
        if known is not None and not known.is_free:
            return known
        if await idempotency_store.claim(connection, caller.tenant, caller.actor, key, request, token):
            return Claim(database, caller.tenant, caller.actor, key, token)
    return None
