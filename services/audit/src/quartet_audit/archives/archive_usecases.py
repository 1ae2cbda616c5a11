"""What the audit service archives of a tenant, in the order of the restore; its log is a bundle."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from quartet_audit.archives import archive_store
from quartet_audit.archives.archive_domain import (
    ErasedPart,
    check_end,
    check_header,
    erased_parts,
    read_line,
    restored_entry,
)
from quartet_audit.config import AuditConfig
from quartet_audit.entries import digest_key_store
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_audit.entries.entry_domain import NewEntry
from quartet_audit.entries.entry_range_store import read_size
from quartet_audit.exports.bundle_usecases import bundle_lines, open_bundle
from quartet_audit.retention.retention_store import read_pruned
from quartet_common.core.errors import ServiceError
from quartet_common.data.archived_table import ORIGINS, ArchivedTable
from quartet_common.data.connections import Connection
from quartet_common.runtime.archives import Archived, Archives
from quartet_common.runtime.container import AppContainer

Container = AppContainer[AuditConfig]

WAIT = 10.0
"""Seconds for which an archive waits for the checkpoint of the last entry."""
PAUSE = 0.2


class PrunedLogError(ServiceError):
    """409: entries of the log have expired, so that it cannot be restored."""

    def __init__(self, tenant: str, entries: int) -> None:
        detail = (
            f"The first {entries} entries of the log of {tenant} have expired by its retention. A log can be restored "
            "only as a whole; for the rest of it, use /audit/export?format=bundle."
        )
        super().__init__(409, "log_pruned", detail)


class UnsignedLogError(ServiceError):
    """503: no checkpoint covers the last entry of the log."""

    def __init__(self, tenant: str) -> None:
        detail = f"The log of {tenant} has entries without a checkpoint. Try again when the worker of audit signs it."
        super().__init__(503, "checkpoint_pending", detail, {"Retry-After": "5"})


@dataclass(frozen=True)
class Log:
    """The log of a tenant, as the lines of a bundle."""

    container: Container

    async def export(self, connection: Connection, tenant: str) -> AsyncIterator[bytes]:
        """The lines of the bundle up to the last checkpoint; none of an empty log."""
        if not await read_size(connection, tenant):
            return
        async for piece in bundle_lines(self.container, await open_bundle(self.container, tenant, 0)):
            for line in piece.splitlines():
                yield line

    async def restore(self, connection: Connection, tenant: str, rows: Sequence[bytes]) -> None:
        """Append the entries of some lines to the log, at the same indexes. Raises ValueError."""
        frontier = await archive_store.lock_log(connection, tenant)
        entries, erased, size = list[NewEntry](), list[ErasedPart](), frontier.size
        for line in map(read_line, rows):
            if line.format:
                check_header(line, tenant)
            elif line.leaf:
                entries.append(restored_entry(line, tenant, size + len(entries)))
                erased += erased_parts(line)
            elif line.checkpoint:
                frontier = await archive_store.append_entries(connection, frontier, entries, erased)
                check_end(line, frontier)
                entries, erased = [], []
            elif line.tile is None:
                raise ValueError("a line of the bundle is neither its header, an entry, a tile nor its end")
        await archive_store.append_entries(connection, frontier, entries, erased)

    async def exists(self, connection: Connection, tenant: str) -> bool:
        """Whether the log has an entry."""
        return await read_size(connection, tenant) > 0


@dataclass(frozen=True)
class DigestKey:
    """The key of the digests that stand for ids of applications, encrypted by the master key of its deployment."""

    keys: DigestKeys

    async def export(self, connection: Connection, tenant: str) -> AsyncIterator[bytes]:
        """The key, if the tenant has one."""
        if await digest_key_store.get_key(connection, tenant) is not None:
            yield msgspec.json.encode({"key": await self.keys.require(connection, tenant)})

    async def restore(self, connection: Connection, tenant: str, rows: Sequence[bytes]) -> None:
        """Store the key, encrypted by the master key of this deployment. Raises msgspec.MsgspecError."""
        for row in rows:
            await self.keys.add(connection, tenant, msgspec.json.decode(row, type=dict[str, bytes])["key"])

    async def exists(self, connection: Connection, tenant: str) -> bool:
        """Whether the tenant has a key."""
        return await digest_key_store.get_key(connection, tenant) is not None


TABLES: Mapping[str, ArchivedTable] = {
    "erasure": ArchivedTable(
        "erasures",
        "id",
        (
            *("id", "user_id", "actor", "requested_at", "size", "searched", "entries", "parts"),
            "completed_at",
        ),
    ),
    "application_event": ArchivedTable(
        "application_events", "digest", ("digest", "event_id", "received_at", "is_keyed")
    ),
    "retention": ArchivedTable("retentions", "days", ("days", "changed_at", "changed_by")),
    "legal_hold": ArchivedTable("legal_holds", "id", ("id", "reason", "set_at", "set_by")),
    "tenant_origins": ORIGINS,
}
"""The archived tables. tests/conventions/test_archives.py has the reason for each table and column not archived."""


def archives_of(container: Container) -> Archives:
    """The archives of the service."""
    kinds: dict[str, Archived] = {"digest_key": DigestKey(DigestKeys.of(container)), "bundle": Log(container), **TABLES}

    async def require_complete_log(tenant: str) -> None:
        async with container.database.connection() as connection:
            pruned = await read_pruned(connection, tenant)
        if pruned is not None:
            raise PrunedLogError(tenant, pruned.entries)
        await _wait_for_checkpoint(container, tenant)

    return Archives(container, kinds, require_complete_log)


async def _wait_for_checkpoint(container: Container, tenant: str) -> None:
    """Wait until a checkpoint covers the last entry. Raises UnsignedLogError (503) after WAIT seconds."""
    clock = asyncio.get_running_loop().time
    until = clock() + WAIT
    while True:
        async with container.database.connection() as connection:
            if not await archive_store.is_behind(connection, tenant):
                return
        if clock() >= until:
            raise UnsignedLogError(tenant)
        await asyncio.sleep(PAUSE)
