"""SQL of totals, for metrics: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_common.data.totals import Found, Total

READ = """
SELECT (SELECT coalesce(sum(total), 0) FROM group_totals WHERE tenant_id = $1)::bigint AS groups,
    (SELECT count(*) FROM members WHERE tenant_id = $1) AS users_in_groups,
    (SELECT count(*) FROM nestings WHERE tenant_id = $1) AS groups_in_groups"""


async def read_totals(connection: Connection, tenant: str, _since: datetime, _applied: Sequence[UUID]) -> Found:
    """Groups and their direct members, users and groups: a sum of few rows, and counts in the keys."""
    row = await connection.fetchrow(READ, tenant)
    if row is None:
        raise AssertionError("an aggregate always gives a row")
    totals = [
        Total("quartet_groups", (), row["groups"]),
        Total("quartet_memberships", ("user",), row["users_in_groups"]),
        Total("quartet_memberships", ("group",), row["groups_in_groups"]),
    ]
    return Found(totals)
