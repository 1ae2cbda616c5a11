"""Data: streams a tenant's data of one service as NDJSON."""

from collections.abc import AsyncIterator, Callable, Mapping

from quart import Blueprint, Response
from quart_schema import tag_blueprint

from quartet_common.auth.guard import caller, requires
from quartet_common.config import ServiceConfig
from quartet_common.container import AppContainer
from quartet_common.database import Connection
from quartet_common.openapi import answers

NDJSON = "application/x-ndjson"
CHUNK = 64 * 1024

Exporter = Callable[[Connection, str], AsyncIterator[bytes]]
"""Yields a tenant's rows as JSON objects (bytes without a newline), given a connection in a snapshot and the tenant."""


def data_blueprint(container: AppContainer[ServiceConfig], exporters: Mapping[str, Exporter], scope: str) -> Blueprint:
    """`/export`: a line per row, `{"kind": <exporter's name>, "data": {...}}`, ended by `{"kind": "end", "count": n}`.

    All lines are of one moment. A stream that breaks off has no end line, so a reader can tell.
    """
    blueprint = Blueprint("data", __name__)
    tag_blueprint(blueprint, ["Operations"])

    @blueprint.get("/export")
    @requires(scope)
    @answers(NDJSON)
    async def export() -> Response:
        """Everything that the service holds of the caller's tenant, streamed."""
        tenant = caller().tenant
        lines = _lines(container, exporters, tenant)
        first = await anext(lines)  # an error before the first line is still a proper answer
        response = Response(_chunks(first, lines), content_type=NDJSON, headers=_attachment(container.config.service))
        response.timeout = None  # it takes as long as there is data and a client that reads
        return response

    return blueprint


async def _lines(
    container: AppContainer[ServiceConfig], exporters: Mapping[str, Exporter], tenant: str
) -> AsyncIterator[bytes]:
    count = 0
    async with container.database.snapshot() as connection:
        for kind, exporter in exporters.items():
            async for row in exporter(connection, tenant):
                count += 1
                yield b'{"kind":"%b","data":%b}\n' % (kind.encode(), row)
    yield b'{"kind":"end","count":%d}\n' % count


async def _chunks(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    buffer = [first]
    size = len(first)
    async for line in lines:
        buffer.append(line)
        size += len(line)
        if size >= CHUNK:
            yield b"".join(buffer)
            buffer, size = [], 0
    if buffer:
        yield b"".join(buffer)


def _attachment(service: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="quartet-{service}.ndjson"'}
