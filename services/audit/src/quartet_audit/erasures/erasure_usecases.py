"""Use cases of erasures: stores a request, and carries it out in batches, each in a transaction of its own."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from quartet_audit.erasures import erasure_store
from quartet_audit.erasures.erasure_domain import MAX_NAMES, Erasure, Mentions, recorded_names
from quartet_audit.erasures.erasure_events import erasure_completed, erasure_requested
from quartet_audit.retention import legal_hold_store
from quartet_audit.retention.legal_hold_domain import HeldLogError
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.caller import Caller
from quartet_common.core.errors import BadRequestError, NotFoundError, ServiceError
from quartet_common.core.identifiers import new_id, parse_id
from quartet_common.core.schedule import Schedule
from quartet_common.core.validation_messages import shown
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two looks for requests."""
RANGE = 500
"""Sequences of one batch: an entry has up to 64 KiB, all together some 32 MB."""
MAX_OPEN = 10
"""Requests of one tenant that may be open."""
RETRY_AFTER = 60
"""Seconds after which a refused client may ask again; a request takes from seconds to minutes."""

Container = AppContainer[ServiceConfig]


async def request_erasure(container: Container, caller: Caller, user: str) -> UUID:
    """Store a request to erase `user` from the entries that the caller's tenant has now; the id of the request.

    Raises BadRequestError (400) when `user` is neither a UUID nor in the log, HeldLogError (409) while a legal hold is
    on the log, and ServiceError (429) when MAX_OPEN requests of the tenant are open.
    """
    identifier = new_id()
    async with unit_of_work(container, caller) as work:
        await _check(work.connection, work.tenant, user)
        await erasure_store.insert_erasure(work.connection, work.tenant, identifier, user, caller.actor, work.now())
        work.publish([erasure_requested(identifier)])
    return identifier


async def _check(connection: Connection, tenant: str, user: str) -> None:
    if parse_id(user) is None and not await erasure_store.is_known(connection, tenant, user):
        detail = f"user must be the UUID of a user, or the actor or resource of an entry of the log, got {shown(user)}."
        raise BadRequestError(detail)
    if (hold := await legal_hold_store.get_hold(connection, tenant)) is not None:
        raise HeldLogError(hold)
    if await erasure_store.count_open(connection, tenant) >= MAX_OPEN:
        detail = f"A tenant may have {MAX_OPEN} open erasures. Ask again when one of them is completed."
        raise ServiceError(429, "too_many_erasures", detail, {"Retry-After": str(RETRY_AFTER)})


async def read_erasure(container: Container, tenant: str, identifier: str) -> Erasure:
    """A request of `tenant`. Raises NotFoundError (404) when there is none with this id."""
    found = None
    if (parsed := parse_id(identifier)) is not None:
        async with container.database.connection() as connection:
            found = await erasure_store.get_erasure(connection, tenant, parsed)
    if found is None:
        raise NotFoundError("There is no erasure with this id.")
    return found


def erasing_persons(container: Container) -> Schedule:
    """The schedule by which a worker carries out requests."""

    async def run() -> None:
        await carry_out_all(container)

    return Schedule("persons-erase", INTERVAL, run)


async def carry_out_all(container: Container) -> None:
    """Carry out the oldest open request of each tenant that is an entry; one that was interrupted goes on where it was.
    While a legal hold is on the log of a tenant, its requests wait.

    A request that fails is logged, and tried again by the next run; the tenant's next one takes its place.
    """
    async with container.database.connection() as connection:
        waiting = await erasure_store.read_open(connection)
    for _, own in groupby(waiting, lambda one: one.tenant):
        await _carry_out_first(container, list(own))


async def _carry_out_first(container: Container, waiting: Sequence[Erasure]) -> None:
    """Carry out the first of `waiting` that does not fail."""
    for erasure in waiting:
        try:
            await _carry_out(container, erasure)
            return
        except Exception:
            logger.exception("an erasure failed", extra={"tenant": erasure.tenant, "erasure": str(erasure.id)})


async def _carry_out(container: Container, erasure: Erasure) -> None:
    """Erase one person: first from the entries that mention it, then from those of its own, which have its names."""
    names = await _names(container, erasure)
    mentions = await asyncio.to_thread(Mentions, {erasure.user, *names})
    for start in range(erasure.searched, erasure.size, RANGE):
        await _erase_mentions(container, erasure, start, mentions)
    for start in range(0, erasure.size, RANGE):
        await _erase_own(container, erasure, start)
    async with unit_of_work(container, Caller(erasure.tenant, erasure.actor)) as work:
        if await erasure_store.lock_open(work.connection, erasure):
            done = await erasure_store.complete(work.connection, erasure, work.now())
            work.publish([erasure_completed(done)])


async def _names(container: Container, erasure: Erasure) -> set[str]:
    """The names and e-mail addresses that the log has recorded for the user, at most MAX_NAMES."""
    names: set[str] = set()
    for start in range(0, erasure.size, RANGE):
        async with container.database.connection() as connection:
            rows = await erasure_store.read_own(connection, erasure, start, _end(erasure, start))
        names = await asyncio.to_thread(recorded_names, rows, names)
        if len(names) == MAX_NAMES:
            logger.warning("an erasure searches no further names", extra={"erasure": str(erasure.id)})
            break
    return names


async def _erase_mentions(container: Container, erasure: Erasure, start: int, mentions: Mentions) -> None:
    end = _end(erasure, start)
    async with container.database.connection() as connection:
        rows = await erasure_store.read_parts(connection, erasure, start, end)
    others = [row for row in rows if not row["is_by_user"] and not row["is_of_user"]]
    # in a thread, since it takes seconds for long entries, and outside of the transaction, which has a time limit
    found = await asyncio.to_thread(_mentioning, others, mentions)
    async with container.database.transaction() as connection:
        if await erasure_store.lock_open(connection, erasure):
            removed = await erasure_store.erase_parts(connection, erasure, found, container.clock())
            await erasure_store.record_progress(connection, erasure, end, removed)


def _mentioning(rows: Sequence[erasure_store.Row], mentions: Mentions) -> list[int]:
    return [row["sequence"] for row in rows if mentions.are_in(row)]


async def _erase_own(container: Container, erasure: Erasure, start: int) -> None:
    async with container.database.transaction() as connection:
        if not await erasure_store.lock_open(connection, erasure):
            return
        rows = await erasure_store.read_own(connection, erasure, start, _end(erasure, start))
        own = [row["sequence"] for row in rows]
        removed = await erasure_store.erase_parts(connection, erasure, own, container.clock())
        await erasure_store.record_progress(connection, erasure, erasure.size, removed)


def _end(erasure: Erasure, start: int) -> int:
    return min(start + RANGE, erasure.size)
