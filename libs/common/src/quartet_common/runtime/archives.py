"""Archives: what a service archives of a tenant, and the restore of it in another deployment.

An archive of a service is lines, `{"kind": "...", "data": {...}}`, ended by `{"kind": "end", "count": n}`. They are
restored in parts, in their order: each part in one transaction, which also notes how many lines are stored. So a part
that is sent again stores nothing twice, and an interrupted restore goes on where it was.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Protocol

import asyncpg
import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.errors import BadRequestError, ServiceError
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.runtime import restore_store
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.restore_store import Restore
from quartet_common.runtime.unit_of_work import UnitOfWork, run_unit_of_work, unit_of_work

FORMAT = 1
"""The format of archives: another one when archived columns or lines change their meaning."""
HEADER = "archive"
"""The kind of the first line, which says whose archive it is."""
END = "end"
WRONG = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, msgspec.MsgspecError, ValueError)
"""What the data of a line can raise."""


class Archived(Protocol):
    """What is archived as the lines of one kind."""

    def export(self, connection: Connection, tenant: str, /) -> AsyncIterator[bytes]:
        """The data of the lines, given a connection in a snapshot."""

    async def restore(self, connection: Connection, tenant: str, rows: Sequence[bytes], /) -> None:
        """Store the data of some lines, which follow those of the call before. Raises ValueError for wrong ones."""

    async def exists(self, connection: Connection, tenant: str, /) -> bool:
        """Whether the tenant has such data already."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of an archive; `count` is that of the end."""

    kind: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    count: int = -1


class Header(msgspec.Struct, frozen=True):
    """The data of the first line."""

    format: int
    service: str
    tenant: str


class TenantTakenError(ServiceError):
    """409: the tenant has data here, or had some."""

    def __init__(self, tenant: str, reason: str) -> None:
        detail = f"The tenant {tenant} cannot be restored: {reason}. Restore it into a deployment that never had it."
        super().__init__(409, "tenant_taken", detail)


class OtherArchiveError(ServiceError):
    """409: lines of another archive of the tenant are stored already."""

    def __init__(self, tenant: str, archive: str) -> None:
        detail = f"Another archive of the tenant {tenant} is restored here, with the SHA-256 {archive} of its manifest."
        super().__init__(409, "other_archive", detail)


class BadArchiveError(BadRequestError):
    """400: a line is not one of an archive of this service and format."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The body is not a part of an archive: {problem}", "bad_archive")


async def _nothing(*_: Any) -> None:
    return None


@dataclass(frozen=True)
class Archives:
    """The archives of a service: what is archived, by kind, in the order of the restore.

    `check` raises an error if a tenant cannot be archived; `complete` is called in the transaction of the last part.
    """

    container: AppContainer[Any]
    kinds: Mapping[str, Archived]
    check: Callable[[str], Awaitable[None]] = _nothing
    complete: Callable[[UnitOfWork, Restore], Awaitable[None]] = _nothing

    @property
    def exporters(self) -> Mapping[str, Callable[[Connection, str], AsyncIterator[bytes]]]:
        """What makes the lines of an archive, by kind."""
        return {HEADER: self._header, **{kind: one.export for kind, one in self.kinds.items()}}

    async def record(self, caller: Caller, tenant: str) -> None:
        """Check that a tenant can be archived, and publish that it is, before its first line is sent."""
        await self.check(tenant)
        service = self.container.config.service
        async with unit_of_work(self.container, caller) as work:
            event = f"{service}.data.archived.v1"
            work.publish([DomainEvent(event, f"archives/{new_id()}", 1, {"tenant": tenant, "format": FORMAT})])

    async def restore(self, caller: Caller, tenant: str, archive: str, position: int, body: bytes) -> Restore:
        """Store the lines of `body` if they begin at `position`, up to which the archive is stored; returns how far it
        is then. A body without lines only reserves the tenant for the archive.

        Raises TenantTakenError and OtherArchiveError (409), BadArchiveError (400).
        """
        lines = read_lines(body)

        async def store(work: UnitOfWork) -> Restore:
            before = await self._begin(work.connection, tenant, archive)
            if before.is_complete or position != before.position or not lines:
                return before
            return await self._store(work, before, lines)

        return await run_unit_of_work(self.container, replace(caller, tenant=tenant), store)

    async def _begin(self, connection: Connection, tenant: str, archive: str) -> Restore:
        """The restore of the archive, locked; a new one if the tenant has no data."""
        known = await restore_store.lock_restore(connection, tenant)
        if known is None:
            if await restore_store.is_deleted(connection, tenant):
                raise TenantTakenError(tenant, "a tenant with this id was deleted here")
            for kind, one in self.kinds.items():
                if await one.exists(connection, tenant):
                    where = f"{self.container.config.service} has data of it ({kind})"
                    raise TenantTakenError(tenant, where)
            await restore_store.begin_restore(connection, tenant, archive)
            known = await restore_store.lock_restore(connection, tenant)
        if known is None:
            raise AssertionError("the restore was added just now, here or in another transaction")
        if known.archive != archive:
            if known.position:
                raise OtherArchiveError(tenant, known.archive)
            await restore_store.replace_restore(connection, tenant, archive)
        return replace(known, archive=archive)

    async def _store(self, work: UnitOfWork, before: Restore, lines: Sequence[Line]) -> Restore:
        counts, position = dict(before.counts), before.position
        for kind, some in groupby(lines, lambda line: line.kind):
            rows = [bytes(line.data) for line in some]
            if kind != END:
                await self._store_rows(work, kind, rows, position)
                counts[kind] = counts.get(kind, 0) + len(rows)
                position += len(rows)
        has_end = lines[-1].kind == END
        if has_end and lines[-1].count != position:
            raise BadArchiveError(f"its end counts {lines[-1].count} lines, and {position} were sent")
        after = Restore(before.archive, counts, has_end)
        await restore_store.store_progress(work.connection, work.tenant, after)
        if has_end:
            await self.complete(work, after)
        return after

    async def _store_rows(self, work: UnitOfWork, kind: str, rows: Sequence[bytes], position: int) -> None:
        where = f"lines {position + 1} to {position + len(rows)} ({kind})"
        if (kind == HEADER) != (position == 0) or (kind != HEADER and kind not in self.kinds):
            raise BadArchiveError(f"{where}: not expected in an archive of {self.container.config.service}")
        try:
            if kind == HEADER:
                self._check_header(work.tenant, rows)
            else:
                await self.kinds[kind].restore(work.connection, work.tenant, rows)
        except WRONG as error:
            raise BadArchiveError(f"{where}: {error}") from error

    async def _header(self, _: Connection, tenant: str) -> AsyncIterator[bytes]:
        yield msgspec.json.encode(Header(FORMAT, self.container.config.service, tenant))

    def _check_header(self, tenant: str, rows: Iterable[bytes]) -> None:
        expected = Header(FORMAT, self.container.config.service, tenant)
        for row in rows:
            if (found := msgspec.json.decode(row, type=Header)) != expected:
                raise ValueError(
                    f"it is of {found.service} of the tenant {found.tenant}, in format {found.format}; here are "
                    f"{expected.service} and {tenant}, in format {FORMAT}"
                )


def read_lines(body: bytes) -> list[Line]:
    """The lines of a part. Raises BadArchiveError (400)."""
    lines = []
    for number, line in enumerate(body.splitlines(), 1):
        try:
            lines.append(msgspec.json.decode(line, type=Line))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadArchiveError(f"line {number} of the body: {error}") from error
    if any(line.kind == END for line in lines[:-1]):
        raise BadArchiveError("lines follow its end")
    return lines
