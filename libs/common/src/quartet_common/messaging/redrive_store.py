"""SQL of redrives: connection first, then the tenant, None for all; never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from quartet_common.data.connections import Connection

RETENTION = timedelta(days=30)
MAX_PAUSE = timedelta(seconds=2)
"""A redrive that was not advanced for longer sends no more at once than for this time."""


@dataclass(frozen=True)
class Redrive:
    """A redrive with its progress. `remaining` dead letters wait to be sent; `failed` ones came back."""

    tenant: str
    id: UUID
    actor: str
    rate: int
    selected: int
    sent: int
    failed: int
    created_at: datetime
    finished_at: datetime | None
    is_cancelled: bool
    remaining: int


class Waiting(NamedTuple):
    """A dead letter that is sent next."""

    tenant: str
    id: UUID
    consumer: str
    message_id: str | None
    type: str | None
    returns: int
    content_type: str | None
    headers: str
    body: bytes


READ = """
SELECT tenant_id, id, actor_id, rate, selected, sent, failed, created_at, finished_at, is_cancelled,
    (SELECT count(*) FROM dead_letters d WHERE d.redrive_id = r.id) AS remaining
FROM redrives r"""
READ_ONE = f"{READ} WHERE ($1::text IS NULL OR tenant_id = $1) AND id = $2"
LIST = f"{READ} WHERE ($1::text IS NULL OR tenant_id = $1) AND id < $2 ORDER BY id DESC LIMIT $3"
ALLOWANCE = """
SELECT tenant_id, greatest(0, floor(rate * extract(epoch FROM now() - greatest(paced_at, now() - $2::interval))))::int
FROM redrives WHERE id = $1 AND finished_at IS NULL FOR UPDATE SKIP LOCKED"""
NEXT = """
SELECT tenant_id, id, consumer, message_id, type, returns, content_type, headers, body
FROM dead_letters WHERE redrive_id = $1 ORDER BY id LIMIT $2 FOR UPDATE"""
ADVANCE = """
UPDATE redrives SET sent = sent + $2,
    paced_at = greatest(paced_at, now() - $3::interval) + make_interval(secs => $2::float8 / rate),
    finished_at = CASE WHEN EXISTS (SELECT FROM dead_letters WHERE redrive_id = $1) THEN NULL ELSE now() END
WHERE id = $1"""
CANCEL = """
UPDATE redrives SET finished_at = now(), is_cancelled = true
WHERE ($1::text IS NULL OR tenant_id = $1) AND id = $2 AND finished_at IS NULL RETURNING id"""


async def insert(connection: Connection, tenant: str, redrive_id: UUID, actor: str, rate: int, selected: int) -> None:
    """Store a new redrive."""
    await connection.execute(
        "INSERT INTO redrives (tenant_id, id, actor_id, rate, selected) VALUES ($1, $2, $3, $4, $5)",
        tenant,
        redrive_id,
        actor,
        rate,
        selected,
    )


async def read_redrive(connection: Connection, tenant: str | None, redrive_id: UUID) -> Redrive | None:
    """One redrive."""
    row = await connection.fetchrow(READ_ONE, tenant, redrive_id)
    return None if row is None else Redrive(*row)


async def list_redrives(connection: Connection, tenant: str | None, before: UUID, limit: int) -> list[Redrive]:
    """At most `limit` redrives with ids before `before`, newest first."""
    return [Redrive(*row) for row in await connection.fetch(LIST, tenant, before, limit)]


async def find_running(connection: Connection) -> list[UUID]:
    """The redrives that have something to send."""
    rows = await connection.fetch("SELECT id FROM redrives WHERE finished_at IS NULL ORDER BY id")
    return [row["id"] for row in rows]


async def lock(connection: Connection, redrive_id: UUID) -> tuple[str, int] | None:
    """The tenant of a running redrive, and how many messages its rate allows now; None while another worker has it."""
    row = await connection.fetchrow(ALLOWANCE, redrive_id, MAX_PAUSE)
    return None if row is None else (row[0], row[1])


async def read_next(connection: Connection, redrive_id: UUID, limit: int) -> list[Waiting]:
    """The dead letters that are sent next, locked."""
    return [Waiting(*row) for row in await connection.fetch(NEXT, redrive_id, limit)]


async def advance(connection: Connection, redrive_id: UUID, sent: Sequence[Waiting]) -> None:
    """Note that RabbitMQ has confirmed `sent`: they are no dead letters any more. The last ones finish the redrive."""
    await connection.execute(
        "DELETE FROM dead_letters WHERE tenant_id = ANY($1::text[]) AND id = ANY($2::uuid[])",
        list({letter.tenant for letter in sent}),
        [letter.id for letter in sent],
    )
    await connection.execute(ADVANCE, redrive_id, len(sent), MAX_PAUSE)


async def count_failed(connection: Connection, redrives: Sequence[UUID]) -> None:
    """Note that a message of each of `redrives` is a dead letter again."""
    await connection.execute(
        """
        UPDATE redrives SET failed = failed + again.number
        FROM (SELECT id, count(*) AS number FROM unnest($1::uuid[]) AS id GROUP BY id) again
        WHERE redrives.id = again.id
        """,
        list(redrives),
    )


async def cancel(connection: Connection, tenant: str | None, redrive_id: UUID) -> int | None:
    """End a running redrive and return how many dead letters it leaves; None if it does not run."""
    if await connection.fetchval(CANCEL, tenant, redrive_id) is None:
        return None
    done: str = await connection.execute("UPDATE dead_letters SET redrive_id = NULL WHERE redrive_id = $1", redrive_id)
    return int(done.rpartition(" ")[2])


async def prune(connection: Connection) -> None:
    """Delete redrives that finished longer ago than RETENTION."""
    await connection.execute("DELETE FROM redrives WHERE finished_at < now() - $1::interval", RETENTION)
