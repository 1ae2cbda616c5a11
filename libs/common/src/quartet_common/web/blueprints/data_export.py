"""Data export: streams a tenant's data of one service as NDJSON."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass

from quart import Blueprint, Response
from quart_schema import tag_blueprint

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.fair_share import FairShare
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import answers
from quartet_common.web.responses import streamed_response
from quartet_common.web.spool import Spool
from quartet_serving.sending import SlowClientError
from quartet_serving.tasks import end_tasks

NDJSON = "application/x-ndjson"
CHUNK = 64 * 1024
EXPORTS = 4
"""Exports of the largest size that a process has on disk at a time; smaller ones count with their size."""
EXPORT_RATE = 512 * 1024
"""Minimum average rate of a client in bytes per second, since its file uses disk space that other tenants need."""
EXPORT_PATIENCE = 60.0
"""Seconds that a client may take in addition."""

Exporter = Callable[[Connection, str], AsyncIterator[bytes]]
"""Yields a tenant's rows as JSON objects (bytes without a newline), given a connection in a snapshot and the tenant."""


async def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Exports:
    """The exports of a process: their exporters and their share of the disk."""

    container: AppContainer[ServiceConfig]
    exporters: Mapping[str, Exporter]
    share: FairShare
    disk: ThreadPoolExecutor

    @classmethod
    def of(cls, container: AppContainer[ServiceConfig], exporters: Mapping[str, Exporter]) -> "Exports":
        """The exports of what `exporters` read."""
        size = container.config.export_bytes
        share = FairShare("bytes of exports on disk", EXPORTS * size, size, queue=0, timeout=1)
        container.shares.append(share)
        return cls(container, exporters, share, ThreadPoolExecutor(1, "export"))

    async def response(self, tenant: str, before: Callable[[], Awaitable[None]] = _nothing) -> Response:
        """A line per row, `{"kind": <exporter's name>, "data": {...}}`, ended by `{"kind": "end", "count": n}`.

        All lines are of one moment. An interrupted stream has no end line. A tenant runs one export at a time (429).
        `before` is called before the first row is read.
        """
        return await streamed_response(self.pieces(tenant, before), NDJSON, _attachment(self.container.config.service))

    async def pieces(self, tenant: str, before: Callable[[], Awaitable[None]]) -> AsyncGenerator[bytes, None]:
        """Pieces of the export. Rows are written to disk at the speed of PostgreSQL, so the connection does not wait
        for a slow client. Raises SlowClientError for a client slower than EXPORT_RATE.
        """
        config = self.container.config
        await self.share.acquire(tenant, config.export_bytes)
        try:
            await before()
            with Spool(config.export_dir, config.export_bytes, self.disk) as spool:
                writing = asyncio.get_running_loop().create_task(self._write(tenant, spool))
                try:
                    async with aclosing(keep_pace(_read(spool))) as pieces:
                        async for piece in pieces:
                            yield piece
                    await writing  # raises its error
                finally:
                    await end_tasks([writing])
        finally:
            self.share.release(tenant, self.share.used_by(tenant))  # a tenant has one export at a time

    async def _write(self, tenant: str, spool: Spool) -> None:
        """Write all rows, then keep only the bytes of the share that the file uses."""
        try:
            await _write_rows(self.container, self.exporters, tenant, spool)
        finally:
            await spool.end()
        self.share.release(tenant, self.container.config.export_bytes - spool.size)


blueprint = Blueprint("data", __name__)
tag_blueprint(blueprint, ["Operations"])


@blueprint.get("/export")
@requires("tenant:admin")
@answers(NDJSON)
async def export() -> Response:
    """Export everything that the service stores for the caller's tenant, as a stream."""
    return await dependency(Exports).response(caller().tenant)


async def _write_rows(
    container: AppContainer[ServiceConfig], exporters: Mapping[str, Exporter], tenant: str, spool: Spool
) -> None:
    count = 0
    buffer = bytearray()
    async with container.database.separate_snapshot(container.config) as connection:
        for kind, exporter in exporters.items():
            async for row in exporter(connection, tenant):
                count += 1
                buffer += b'{"kind":"%b","data":%b}\n' % (kind.encode(), row)
                if len(buffer) >= CHUNK:
                    await spool.write(bytes(buffer))
                    buffer.clear()
    await spool.write(b'%b{"kind":"end","count":%d}\n' % (bytes(buffer), count))


async def _read(spool: Spool) -> AsyncGenerator[bytes, None]:
    """The written data."""
    while piece := await spool.read(CHUNK):
        yield piece


async def keep_pace(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The `pieces`, while the client reads fast enough; the time in which they are made does not count.

    Raises SlowClientError for a client slower than EXPORT_RATE.
    """
    clock = asyncio.get_running_loop().time
    left = EXPORT_PATIENCE
    async with aclosing(pieces):
        async for piece in pieces:
            started = clock()
            yield piece
            left += len(piece) / EXPORT_RATE - (clock() - started)
            if left < 0:
                raise SlowClientError


def _attachment(service: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="quartet-{service}.ndjson"'}
