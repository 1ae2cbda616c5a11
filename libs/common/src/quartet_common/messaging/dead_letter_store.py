"""SQL of dead letters: connection first, then the tenant, None for all; never commits."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from quartet_common.data.connections import Connection

UNREADABLE = ""
"""The tenant of what cannot be read: only platform administrators see it."""


@dataclass(frozen=True)
class Selection:
    """Which dead letters: those that meet all conditions that are not None. `failure` is the beginning of the reason;
    `since` belongs to the range of time, `until` does not.
    """

    tenant: str | None = None
    type: str | None = None
    failure: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[UUID] | None = None


class NewDeadLetter(NamedTuple):
    """A dead letter as its queue had it."""

    tenant: str
    id: UUID
    consumer: str
    digest: bytes
    message_id: str | None
    type: str | None
    subject: str | None
    event_time: str | None
    reason: str
    failure: str
    attempts: int
    returns: int
    content_type: str | None
    headers: str
    body: bytes


@dataclass(frozen=True)
class DeadLetter:
    """A stored dead letter without its payload."""

    tenant: str
    id: UUID
    consumer: str
    message_id: str | None
    type: str | None
    subject: str | None
    event_time: str | None
    reason: str
    failure: str
    attempts: int
    returns: int
    died_at: datetime
    redrive_id: UUID | None


@dataclass(frozen=True)
class Payload:
    """What is sent again."""

    content_type: str | None
    headers: str
    body: bytes


class Count(NamedTuple):
    """How many dead letters have a type and a failure."""

    type: str | None
    failure: str
    number: int


COLUMNS = """
tenant_id, id, consumer, message_id, type, subject, event_time, reason, failure, attempts, returns, died_at,
redrive_id"""
PAYLOAD = "content_type, headers, body"
SELECTED = """
($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR tenant_id = $2) AND ($3::text IS NULL OR type = $3)
AND ($4::text IS NULL OR failure = $4) AND ($5::timestamptz IS NULL OR died_at >= $5)
AND ($6::timestamptz IS NULL OR died_at < $6) AND ($7::uuid[] IS NULL OR id = ANY($7))"""
INSERT = """
INSERT INTO dead_letters (tenant_id, id, consumer, digest, message_id, type, subject, event_time, reason, failure,
    attempts, returns, content_type, headers, body)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::int[], $12::int[], $13::text[], $14::text[], $15::bytea[]) AS new (tenant)
WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = new.tenant)
ON CONFLICT (tenant_id, consumer, digest) DO NOTHING RETURNING id"""
LIST = f"SELECT {COLUMNS} FROM dead_letters WHERE {SELECTED} AND id > $8 ORDER BY id LIMIT $9"
READ = f"SELECT {COLUMNS}, {PAYLOAD} FROM dead_letters WHERE ($1::text IS NULL OR tenant_id = $1) AND id = $2"
COUNT = f"""
SELECT type, failure, count(*) AS count FROM dead_letters WHERE {SELECTED}
AND ($8 OR redrive_id IS NULL) GROUP BY type, failure ORDER BY count DESC, type, failure"""
SELECT = f"UPDATE dead_letters SET redrive_id = $8 WHERE {SELECTED} AND redrive_id IS NULL"
DISCARD = f"""
DELETE FROM dead_letters WHERE id = ANY(ARRAY(
    SELECT id FROM dead_letters WHERE {SELECTED} AND redrive_id IS NULL ORDER BY id LIMIT $8))
AND redrive_id IS NULL RETURNING {COLUMNS}, {PAYLOAD}"""


async def insert(connection: Connection, letters: Sequence[NewDeadLetter]) -> set[UUID]:
    """Store `letters`, each once, and none of deleted tenants; the ids of the new ones."""
    rows = await connection.fetch(INSERT, *map(list, zip(*letters, strict=True)))
    return {row["id"] for row in rows}


async def list_letters(
    connection: Connection, tenant: str | None, selection: Selection, after: UUID, limit: int
) -> list[DeadLetter]:
    """At most `limit` dead letters with ids after `after`, oldest first."""
    rows = await connection.fetch(LIST, tenant, *astuple(selection), after, limit)
    return [DeadLetter(*row) for row in rows]


async def read_letter(connection: Connection, tenant: str | None, letter_id: UUID) -> tuple[DeadLetter, Payload] | None:
    """One dead letter with its payload."""
    row = await connection.fetchrow(READ, tenant, letter_id)
    return None if row is None else (DeadLetter(*row[:-3]), Payload(*row[-3:]))


async def count(
    connection: Connection, tenant: str | None, selection: Selection, *, with_selected: bool = True
) -> list[Count]:
    """The numbers by type and failure, the largest first; with those that a redrive has selected, or without them."""
    rows = await connection.fetch(COUNT, tenant, *astuple(selection), with_selected)
    return [Count(*row) for row in rows]


async def select(connection: Connection, tenant: str | None, selection: Selection, redrive_id: UUID) -> int:
    """Select dead letters for a redrive, without those of another one; return how many."""
    done: str = await connection.execute(SELECT, tenant, *astuple(selection), redrive_id)
    return int(done.rpartition(" ")[2])


async def select_failures(connection: Connection, failures: Sequence[str], returns: int, redrive_id: UUID) -> int:
    """Select the dead letters of all tenants with one of `failures` that were redriven less than `returns` times."""
    done: str = await connection.execute(
        """
        UPDATE dead_letters SET redrive_id = $3
        WHERE failure = ANY($1::text[]) AND returns < $2 AND redrive_id IS NULL
        """,
        list(failures),
        returns,
        redrive_id,
    )
    return int(done.rpartition(" ")[2])


async def discard(
    connection: Connection, tenant: str | None, selection: Selection, limit: int
) -> list[tuple[DeadLetter, Payload]]:
    """Delete the oldest dead letters, at most `limit`, without those that a redrive has selected; return them."""
    rows = await connection.fetch(DISCARD, tenant, *astuple(selection), limit)
    return [(DeadLetter(*row[:-3]), Payload(*row[-3:])) for row in rows]


async def count_by_consumer(connection: Connection) -> dict[str, int]:
    """How many dead letters of all tenants each consumer has."""
    rows = await connection.fetch("SELECT consumer, count(*) AS count FROM dead_letters GROUP BY consumer")
    return {row["consumer"]: row["count"] for row in rows}


async def count_of(connection: Connection, tenant: str, consumer: str) -> int:
    """How many dead letters of a consumer are, or may be, those of `tenant`: unreadable ones may be."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM dead_letters WHERE tenant_id = ANY(ARRAY[$1, $2]) AND consumer = $3",
        tenant,
        UNREADABLE,
        consumer,
    )
    return found
