"""SQL of credentials: the password hashes of users; connection first, then the tenant; never commits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_scim.filters import old_key
from quartet_scim.usernames import prepare


@dataclass(frozen=True)
class Credential:
    """The data of a user that a login needs. `password_hash` is None for a user without a password.

    Two are equal if the password is the same, also with hashes of different costs: `changed_at` is when it was set.
    """

    user_id: UUID
    user_name: str
    active: bool
    password_hash: str | None = field(repr=False, compare=False)
    must_change: bool
    changed_at: datetime | None


FOUND = """
SELECT u.id, u.resource ->> 'userName' AS user_name, coalesce((u.resource ->> 'active')::boolean, true) AS active,
       c.password_hash, coalesce(c.must_change, false) AS must_change, c.changed_at
FROM users u LEFT JOIN credentials c ON c.tenant_id = u.tenant_id AND c.user_id = u.id
WHERE u.tenant_id = $1 AND """


async def find_by_name(connection: Connection, tenant: str, user_name: str) -> Credential | None:
    """The user with a name, in any equal spelling (RFC 7644 section 5).

    A user whose name an upgrade made equal to another's keeps its old key, and is found by its exact spelling only.
    """
    key = prepare(user_name)
    old = old_key(user_name, key)
    query = f"{FOUND} u.user_name_key = ANY ($2::text[]) ORDER BY u.user_name_key = $3 DESC LIMIT 1"
    return _credential(await connection.fetchrow(query, tenant, [key, old], old))


async def find_by_id(connection: Connection, tenant: str, user_id: UUID) -> Credential | None:
    """The user with an id."""
    return _credential(await connection.fetchrow(f"{FOUND} u.id = $2", tenant, user_id))


async def lock_credential(connection: Connection, tenant: str, user_id: UUID) -> Credential | None:
    """The credential, with the user's row locked (FOR SHARE) until the transaction ends."""
    # two statements: the second one sees what was committed while the first one waited
    await connection.execute("SELECT 1 FROM users WHERE tenant_id = $1 AND id = $2 FOR SHARE", tenant, user_id)
    return await find_by_id(connection, tenant, user_id)


async def renew_hash(connection: Connection, tenant: str, credential: Credential, password_hash: str) -> None:
    """Store the hash of the same password with another cost, unless another login has done so."""
    await connection.execute(
        "UPDATE credentials SET password_hash = $4 WHERE tenant_id = $1 AND user_id = $2 AND password_hash = $3",
        tenant,
        credential.user_id,
        credential.password_hash,
        password_hash,
    )


def _credential(row: asyncpg.Record | None) -> Credential | None:
    if row is None:
        return None
    return Credential(
        row["id"], row["user_name"], row["active"], row["password_hash"], row["must_change"], row["changed_at"]
    )


export_credentials = json_rows(
    "SELECT user_id, changed_at, must_change FROM credentials WHERE tenant_id = $1 ORDER BY user_id"
)


async def require_new_password(connection: Connection, tenant: str, user_id: UUID) -> None:
    """Require that the user changes the password at the next login."""
    await connection.execute(
        "UPDATE credentials SET must_change = true WHERE tenant_id = $1 AND user_id = $2", tenant, user_id
    )


async def set_password(connection: Connection, tenant: str, user_id: UUID, password_hash: str, now: datetime) -> None:
    """Store the hash of a user's new password, which need not be changed at the next login."""
    await connection.execute(
        """
        INSERT INTO credentials (tenant_id, user_id, password_hash, changed_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET password_hash = $3, changed_at = $4, must_change = false
        """,
        tenant,
        user_id,
        password_hash,
        now,
    )


async def set_passwords(connection: Connection, tenant: str, hashes: Sequence[tuple[UUID, str]], now: datetime) -> None:
    """Store the password hashes of new users, as (user, hash)."""
    await connection.execute(
        """
        INSERT INTO credentials (tenant_id, user_id, password_hash, changed_at)
        SELECT $1, id, hash, $4 FROM unnest($2::uuid[], $3::text[]) AS new (id, hash)
        """,
        tenant,
        [user_id for user_id, _ in hashes],
        [password_hash for _, password_hash in hashes],
        now,
    )


async def delete_password(connection: Connection, tenant: str, user_id: UUID) -> None:
    """Delete a user's password, if there is one."""
    await connection.execute("DELETE FROM credentials WHERE tenant_id = $1 AND user_id = $2", tenant, user_id)
