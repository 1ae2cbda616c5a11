"""SQL of idempotency keys; never commits."""

from typing import NamedTuple
from uuid import UUID

from quartet_common.data.connections import Connection

KEPT = 24 * 3600
"""Seconds for which a key and its response are kept."""
ABANDONED = 60
"""Seconds after which another request may take over a claim whose change was not committed."""
BATCH = 1000

OWN = "tenant_id = $1 AND actor_id = $2 AND key = $3"
CLAIM = f"""
INSERT INTO idempotency_keys AS known (tenant_id, actor_id, key, request, claim) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, actor_id, key) DO UPDATE
SET request = EXCLUDED.request, claim = EXCLUDED.claim, claimed_at = now(), is_done = false, response = NULL
WHERE known.claimed_at < now() - make_interval(secs => {KEPT})
OR NOT known.is_done AND known.claimed_at < now() - make_interval(secs => {ABANDONED})
RETURNING true"""
READ = f"""
SELECT request, is_done, response, claimed_at < now() - make_interval(secs => {ABANDONED}) AS is_abandoned,
       claimed_at < now() - make_interval(secs => {KEPT}) AS is_expired
FROM idempotency_keys WHERE {OWN}"""
CONFIRM = f"UPDATE idempotency_keys SET is_done = true WHERE {OWN} AND claim = $4"
SAVE = f"UPDATE idempotency_keys SET is_done = true, response = $5 WHERE {OWN} AND claim = $4"
RELEASE = f"DELETE FROM idempotency_keys WHERE {OWN} AND claim = $4 AND NOT is_done"
PRUNE = f"""
DELETE FROM idempotency_keys WHERE (tenant_id, actor_id, key) IN (
    SELECT tenant_id, actor_id, key FROM idempotency_keys
    WHERE claimed_at < now() - make_interval(secs => {KEPT}) ORDER BY claimed_at LIMIT {BATCH})"""


class Known(NamedTuple):
    """What is known of a key. `response` is encrypted, and None until it is saved."""

    request: bytes
    is_done: bool
    response: str | None
    is_abandoned: bool
    is_expired: bool

    @property
    def is_free(self) -> bool:
        """Whether another request may use the key."""
        return self.is_expired or (self.is_abandoned and not self.is_done)


async def claim(connection: Connection, tenant: str, actor: str, key: bytes, request: bytes, token: UUID) -> bool:
    """Claim `key`, a SHA-256, by `token`; False if another request has it."""
    return bool(await connection.fetchval(CLAIM, tenant, actor, key, request, token))


async def read(connection: Connection, tenant: str, actor: str, key: bytes) -> Known | None:
    """What is known of `key`; None if its claim was released."""
    row = await connection.fetchrow(READ, tenant, actor, key)
    return None if row is None else Known(**row)


async def confirm(connection: Connection, tenant: str, actor: str, key: bytes, token: UUID) -> bool:
    """Record that the request is carried out; False if another one has taken over its claim."""
    return bool(await connection.execute(CONFIRM, tenant, actor, key, token) == "UPDATE 1")


async def save(connection: Connection, tenant: str, actor: str, key: bytes, token: UUID, response: str) -> None:
    """Keep the response of the request."""
    await connection.execute(SAVE, tenant, actor, key, token, response)


async def release(connection: Connection, tenant: str, actor: str, key: bytes, token: UUID) -> None:
    """Give up a claim, unless its change is committed."""
    await connection.execute(RELEASE, tenant, actor, key, token)


async def prune(connection: Connection) -> int:
    """Delete up to BATCH keys that have expired; return how many."""
    done: str = await connection.execute(PRUNE)
    return int(done.rpartition(" ")[2])
