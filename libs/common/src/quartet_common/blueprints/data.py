"""Data: streams a tenant's data of one service as NDJSON."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from quart import Blueprint, Response
from quart_schema import tag_blueprint

from quartet_common.auth.guard import caller, requires
from quartet_common.config import ServiceConfig
from quartet_common.container import AppContainer
from quartet_common.database import Connection, separate_snapshot
from quartet_common.fair_share import FairShare
from quartet_common.openapi import answers
from quartet_common.spool import Spool
from quartet_common.tasks import end_tasks

NDJSON = "application/x-ndjson"
CHUNK = 64 * 1024
EXPORTS = 4
"""Exports that a process runs at a time, one for each tenant."""

Exporter = Callable[[Connection, str], AsyncIterator[bytes]]
"""Yields a tenant's rows as JSON objects (bytes without a newline), given a connection in a snapshot and the tenant."""


async def _nothing() -> None:
    return None


def data_blueprint(
    container: AppContainer[ServiceConfig],
    exporters: Mapping[str, Exporter],
    scope: str,
    before: Callable[[], Awaitable[None]] = _nothing,
) -> Blueprint:
    """`/export`: a line per row, `{"kind": <exporter's name>, "data": {...}}`, ended by `{"kind": "end", "count": n}`.

    All lines are of one moment. A stream that breaks off has no end line, so a reader can tell. A tenant runs one
    export at a time (429). `before` is called before the first row is read.
    """
    blueprint = Blueprint("data", __name__)
    tag_blueprint(blueprint, ["Operations"])
    exports = FairShare("exports", EXPORTS, 1, queue=0, timeout=1)
    container.shares.append(exports)
    disk = ThreadPoolExecutor(1, "export")

    async def pieces(tenant: str) -> AsyncGenerator[bytes, None]:
        """Pieces of the export. Its rows go to disk as fast as PostgreSQL gives them, and its connection ends then,
        however slowly the client reads.
        """
        async with exports.hold(tenant):
            await before()
            with Spool(container.config.export_dir, container.config.export_bytes, disk) as spool:
                writing = asyncio.get_running_loop().create_task(_write(container.config, exporters, tenant, spool))
                try:
                    while piece := await spool.read(CHUNK):
                        yield piece
                    await writing  # raises its error
                finally:
                    await end_tasks([writing])

    @blueprint.get("/export")
    @requires(scope)
    @answers(NDJSON)
    async def export() -> Response:
        """Export everything that the service stores for the caller's tenant, as a stream."""
        rest = pieces(caller().tenant)
        first = await anext(rest)  # an error before the first piece is still a proper answer
        response = Response(_all(first, rest), content_type=NDJSON, headers=_attachment(container.config.service))
        response.timeout = None  # it takes as long as there is data and a client that reads
        return response

    return blueprint


async def _write(config: ServiceConfig, exporters: Mapping[str, Exporter], tenant: str, spool: Spool) -> None:
    count = 0
    buffer = bytearray()
    try:
        async with separate_snapshot(config) as connection:
            for kind, exporter in exporters.items():
                async for row in exporter(connection, tenant):
                    count += 1
                    buffer += b'{"kind":"%b","data":%b}\n' % (kind.encode(), row)
                    if len(buffer) >= CHUNK:
                        await spool.write(bytes(buffer))
                        buffer.clear()
        await spool.write(b'%b{"kind":"end","count":%d}\n' % (bytes(buffer), count))
    finally:
        await spool.end()


async def _all(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _attachment(service: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="quartet-{service}.ndjson"'}
