"""SQL of totals: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_common.data.totals import Found, Total

# All are sums of few rows, or counts in an index: of sessions, and of suspended users, which are few.
READ = """
SELECT (SELECT coalesce(sum(total), 0) FROM user_totals WHERE tenant_id = $1)::bigint AS users,
    (SELECT count(*) FROM users WHERE tenant_id = $1 AND resource -> 'active' = 'false') AS suspended,
    (SELECT count(*) FROM sessions WHERE tenant_id = $1) AS sessions,
    (SELECT count(*) FROM clients WHERE tenant_id = $1) AS clients"""


async def read_totals(connection: Connection, tenant: str, _since: datetime, _applied: Sequence[UUID]) -> Found:
    """Users by their state, sessions and API clients."""
    row = await connection.fetchrow(READ, tenant)
    if row is None:
        raise AssertionError("an aggregate always gives a row")
    totals = [
        Total("quartet_users", ("active",), row["users"] - row["suspended"]),
        Total("quartet_users", ("suspended",), row["suspended"]),
        Total("quartet_sessions", (), row["sessions"]),
        Total("quartet_api_clients", (), row["clients"]),
    ]
    return Found(totals)
