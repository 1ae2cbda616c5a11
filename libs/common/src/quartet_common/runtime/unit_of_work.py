"""Unit of work: a transaction with the events and revocations that its commit publishes.

A use case changes rows and calls `publish` and `revoke`, which do no I/O. At the end of the block the same transaction
writes the outbox rows and revocations; after its commit the relay is notified and this process refuses the revoked
tokens. A block that raises publishes nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from quartet_common.auth import revocation_store
from quartet_common.auth.revocations import Revocation
from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.data.database import after_commit
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import DomainEvent, NewOutboxRow
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.idempotency import CLAIM

T = TypeVar("T")
Container = AppContainer[Any]

PUBLISHED: ContextVar[list[UUID] | None] = ContextVar("quartet_published", default=None)
"""The ids of the events that the running request has committed, in their order; None outside of requests."""


@dataclass(frozen=True)
class UnitOfWork:
    """A transaction on behalf of `caller`. SQL runs on `connection`."""

    connection: Connection
    caller: Caller
    container: Container
    _events: list[tuple[Caller, DomainEvent]] = field(default_factory=list)
    _revocations: list[Revocation] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        """The tenant of the caller."""
        return self.caller.tenant

    def now(self) -> datetime:
        """The time by the container's clock."""
        return self.container.clock()

    def on_behalf_of(self, caller: Caller) -> "UnitOfWork":
        """The same transaction, with `caller` as the actor of published events."""
        return replace(self, caller=caller)

    def publish(self, events: Iterable[DomainEvent]) -> None:
        """Write `events` into the outbox at the end of the block, in the order of all calls.

        The transaction must have locked the row of each subject, so that its events follow its changes.
        """
        self._events.extend((self.caller, event) for event in events)

    def revoke(self, revocations: Iterable[Revocation]) -> None:
        """Store `revocations` at the end of the block. This process refuses the tokens from the commit on, the other
        apis of the service within half a second; the other services need an event.
        """
        self._revocations.extend(revocations)

    async def store(self) -> None:
        """Write the published events and the revocations, and confirm the idempotency key, before the commit. Raises
        TakenOverError (409).
        """
        claim = CLAIM.get()
        if claim is not None:
            await claim.confirm(self.connection)
        if self._revocations:
            await revocation_store.keep(self.connection, self._revocations)
            after_commit(partial(self.container.revocations.add, tuple(self._revocations)))
        now, service = self.container.clock(), self.container.config.service
        ids = await outbox.add_of_callers(self.connection, self._events, now=now, service=service)
        published = PUBLISHED.get()
        if ids and published is not None:
            after_commit(partial(published.extend, ids))


@asynccontextmanager
async def unit_of_work(container: Container, caller: Caller) -> AsyncIterator[UnitOfWork]:
    """A unit of work in a transaction of its own. Raises what `Database.transaction` raises."""
    async with container.database.transaction() as connection:
        work = UnitOfWork(connection, caller, container)
        yield work
        await work.store()


@asynccontextmanager
async def unit_of_work_in(container: Container, connection: Connection, caller: Caller) -> AsyncIterator[UnitOfWork]:
    """A unit of work in the transaction of the consumer, for the handler of an event."""
    work = UnitOfWork(connection, caller, container)
    yield work
    await work.store()


async def run_unit_of_work(
    container: Container,
    caller: Caller,
    command: Callable[[UnitOfWork], Awaitable[T]],
    *,
    queue: str | None = None,
) -> T:
    """Run `command` in a unit of work; repeat it if PostgreSQL rolls it back in favour of another transaction. Events
    of a failed attempt are dropped.

    `queue`: for a command that raises HeldError while another transaction holds a lock; see `Database.run_in_turn`.
    Raises what `Database.run` raises.
    """

    async def attempt(connection: Connection) -> T:
        async with unit_of_work_in(container, connection, caller) as work:
            return await command(work)

    if queue is None:
        return await container.database.run(attempt)
    return await container.database.run_in_turn(queue, attempt)


@asynccontextmanager
async def one_statement(
    container: Container, caller: Caller, event: DomainEvent
) -> AsyncIterator[tuple[Connection, NewOutboxRow]]:
    """A connection without BEGIN and COMMIT, and the outbox row of `event`, for one statement that writes the row with
    the change: one round trip instead of four. A request with an idempotency key needs a transaction. Raises what
    `Database.statement` raises, and TakenOverError (409).
    """
    claim = CLAIM.get()
    async with container.database.statement() if claim is None else container.database.transaction() as connection:
        if claim is not None:
            await claim.confirm(connection)
        row = outbox.row(caller, event, now=container.clock(), service=container.config.service)
        yield connection, row
    published = PUBLISHED.get()
    if published is not None:
        published.append(row.event_id)
