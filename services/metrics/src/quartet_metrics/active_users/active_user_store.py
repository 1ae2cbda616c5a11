"""SQL of active users: connection first; never commits."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_metrics.active_users.activity_domain import WINDOWS, Activity

LOCKS = 13
"""The first key of the advisory locks of tenants; the second is a hash of the tenant."""
LOCK = """
SELECT pg_advisory_xact_lock($1, lock) FROM (
    SELECT DISTINCT hashtext(tenant) AS lock FROM unnest($2::text[]) AS tenant ORDER BY 1) AS locks"""
NEW = """
SELECT given.tenant, given.user_id, given.day
FROM unnest($1::text[], $2::uuid[], $3::date[]) AS given (tenant, user_id, day)
LEFT JOIN former_users former ON former.tenant_id = given.tenant AND former.user_id = given.user_id
WHERE NOT EXISTS (
    SELECT FROM active_users known WHERE known.tenant_id = given.tenant
    AND known.user_id = coalesce(former.alias, given.user_id) AND known.day = given.day)"""
# A user who becomes active on a day counts in a window that ends later, unless the window has another day of the user:
# one before (`previous`, stored or in this batch) or after it (`next`, stored). Windows with days that are not kept any
# more stay as they are. The union of what is stored and of what is new is needed since a statement does not see its own
# rows.
ADD = """
WITH fresh AS (
    INSERT INTO active_users (tenant_id, user_id, day)
    SELECT DISTINCT given.tenant, coalesce(former.alias, given.user_id), given.day
    FROM unnest($1::text[], $2::uuid[], $3::date[]) AS given (tenant, user_id, day)
    LEFT JOIN former_users former ON former.tenant_id = given.tenant AND former.user_id = given.user_id
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING RETURNING tenant_id, user_id, day
), near AS (
    SELECT fresh.tenant_id, fresh.day, greatest(
        (SELECT max(day) FROM active_users known WHERE known.tenant_id = fresh.tenant_id
         AND known.user_id = fresh.user_id AND known.day < fresh.day),
        (SELECT max(day) FROM fresh known WHERE known.tenant_id = fresh.tenant_id
         AND known.user_id = fresh.user_id AND known.day < fresh.day)
    ) AS previous, (
        SELECT min(day) FROM active_users known WHERE known.tenant_id = fresh.tenant_id
        AND known.user_id = fresh.user_id AND known.day > fresh.day
    ) AS next FROM fresh
)
SELECT tenant_id, metric, ending::date AS day, count(*) AS users
FROM near, unnest($4::text[], $5::int[]) AS windows (metric, days), generate_series(
    greatest(near.day, previous + days, $6::date + days - 1)::timestamp, least(near.day + days - 1, next - 1),
    interval '1 day'
) AS ending
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
FORGET = """
WITH former AS (
    INSERT INTO former_users (tenant_id, user_id)
    SELECT * FROM unnest($1::text[], $2::uuid[]) AS given (tenant_id, user_id) ORDER BY 1, 2
    ON CONFLICT DO NOTHING RETURNING tenant_id, user_id, alias
)
UPDATE active_users known SET user_id = former.alias FROM former
WHERE known.tenant_id = former.tenant_id AND known.user_id = former.user_id"""
PRUNE_DAYS = "DELETE FROM active_users WHERE tenant_id = $1 AND day < $2"
PRUNE_FORMER = "DELETE FROM former_users WHERE tenant_id = $1 AND deleted_on < $2"

export_active_users = json_rows("SELECT day, user_id FROM active_users WHERE tenant_id = $1 ORDER BY day, user_id")


async def lock_tenants(connection: Connection, tenants: Sequence[str]) -> None:
    """Let one transaction at a time count active users of each of `tenants`: two that do not see each other's rows
    would count a user twice.
    """
    await connection.execute(LOCK, LOCKS, tenants)


async def new_activities(connection: Connection, found: Sequence[Activity]) -> list[Activity]:
    """Those of `found` that are not stored; most are, since users are active many times on a day."""
    rows = await connection.fetch(NEW, *_columns(found))
    return [Activity(row["tenant"], row["user_id"], row["day"]) for row in rows]


async def add_activities(
    connection: Connection, found: Sequence[Activity], first: date
) -> list[tuple[str, str, date, int]]:
    """Store `found`, and return by how many users each day of each metric grows: tenant, metric, day, users.

    `first` is the first day whose rows are kept; needs the locks of the tenants.
    """
    names, days = zip(*WINDOWS, strict=True)
    rows = await connection.fetch(ADD, *_columns(found), names, days, first)
    return [(row["tenant_id"], row["metric"], row["day"], row["users"]) for row in rows]


async def forget_users(connection: Connection, users: Sequence[tuple[str, UUID]]) -> None:
    """Give the rows of deleted users a random id, so that they go on counting without a name."""
    await connection.execute(FORGET, [tenant for tenant, _ in users], [user for _, user in users])


async def prune(connection: Connection, tenant: str, first: date) -> None:
    """Delete the rows of days before `first`, and the random ids of users who were deleted before it."""
    await connection.execute(PRUNE_DAYS, tenant, first)
    await connection.execute(PRUNE_FORMER, tenant, first)


def _columns(found: Sequence[Activity]) -> tuple[list[str], list[UUID], list[date]]:
    return [one.tenant for one in found], [one.user for one in found], [one.day for one in found]
