"""Use case of exports: reads a log in batches, each in a transaction of its own, and yields the lines of its format."""

from collections.abc import AsyncGenerator

from quartet_audit.config import AuditConfig
from quartet_audit.entries import entry_range_store, entry_store
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_audit.exports import csv_domain
from quartet_audit.exports.export_events import data_exported, log_exported
from quartet_audit.exports.export_parameters import ExportRequest
from quartet_audit.exports.ocsf_domain import ocsf_lines
from quartet_common.core.caller import Caller
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work

Container = AppContainer[AuditConfig]

BATCH = 200
"""Entries that one transaction reads at most; it ends earlier at entry_store.PAGE_BYTES."""
MAX_SCANNED = 10_000
"""Entries that one transaction looks at for those that pass the filters: some milliseconds."""


async def record_log_export(container: Container, caller: Caller, wanted: ExportRequest) -> None:
    """Publish the event of an export, with its caller, before the first byte is sent."""
    async with unit_of_work(container, caller) as work:
        work.publish([log_exported(wanted.format, wanted.start, wanted.filters)])


async def read_size(container: Container, tenant: str) -> int:
    """How many entries the log of `tenant` has."""
    async with container.database.connection() as connection:
        return await entry_range_store.read_size(connection, tenant)


async def export_lines(
    container: Container, tenant: str, wanted: ExportRequest, size: int
) -> AsyncGenerator[bytes, None]:
    """The lines of the entries before `size`, a batch at a time, in the order of the log.

    The first piece, the header line of CSV, is empty if the format or the request has none.
    """
    yield csv_domain.HEADER if wanted.format == "csv" and not wanted.is_continued else b""
    start, keys = wanted.start, DigestKeys.of(container)
    while start < size:
        end = min(start + MAX_SCANNED, size)
        async with container.database.snapshot() as connection:
            search = await keys.complete(connection, tenant, wanted.search)
            found = await entry_range_store.find_sequences(connection, tenant, search, start, end, BATCH)
            entries = await entry_store.read_entries(connection, tenant, found.sequences)
            read = found.sequences[: len(entries)]
            leaves = await entry_range_store.read_leaves(connection, tenant, read) if wanted.format == "ocsf" else []
        if entries:
            yield _lines(container, wanted.format, entries, leaves)
        start = found.end if len(read) == len(found.sequences) else read[-1] + 1


def _lines(container: Container, format_: str, entries: list[bytes], leaves: list[bytes]) -> bytes:
    if format_ == "csv":
        return csv_domain.csv_lines(entries)
    if format_ == "ocsf":
        return ocsf_lines(entries, leaves, container.config.public_url)
    return b"".join([entry + b"\n" for entry in entries])


async def record_export(container: AppContainer[AuditConfig], caller: Caller) -> None:
    """Publish the event of an export, with its caller, before the first byte is sent."""
    async with unit_of_work(container, caller) as work:
        work.publish([data_exported()])
