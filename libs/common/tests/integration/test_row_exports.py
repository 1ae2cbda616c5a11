"""Exports and clients that read them slowly, or not at all: what they hold, and for how long."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from quart import Quart

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.fair_share import FairShare
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import data_export
from quartet_common.web.blueprints.data_export import CHUNK, EXPORTS
from quartet_common.web.dependencies import provide
from quartet_common.web.guard import requires
from quartet_serving import sending
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant, serve_service

ROWS = 30_000
ROW = "SELECT json_build_object('number', number, 'text', repeat('x', 1000)) FROM generate_series(1, $1) AS number"
"""30 MB in all: more than sockets hold of what nobody reads."""
SNAPSHOTS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'quartet-common' AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"""

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def things(connection: Connection, _: str) -> AsyncIterator[bytes]:
    async for row in connection.cursor(ROW, ROWS, prefetch=500):
        yield row[0].encode()


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    """An app with an export, and a route that reads one row."""
    app = create_base_app(container, title="Common")
    provide(app, data_export.Exports, data_export.Exports.of(container, {"thing": things}))
    app.register_blueprint(data_export.blueprint, url_prefix="/common/data")

    @app.get("/common/rows")
    @requires("users:read")
    async def rows() -> dict[str, int]:
        async with container.database.connection() as connection:
            return {"one": await connection.fetchval("SELECT 1")}

    return app


@asynccontextmanager
async def serving(config: ServiceConfig, **changes: Any) -> AsyncIterator[RunningService]:
    made = Service(
        package="quartet_common", config_class=type(config), create_app=create_app, subscriptions=lambda _: []
    )
    async with serve_service(made, config.model_copy(update=changes)) as running:
        yield running


def shares_of(service: RunningService) -> FairShare:
    [found] = [one for one in service.container.shares if one.resource == "bytes of exports on disk"]
    return found


async def begin(service: RunningService, tenant: str, stack: AsyncExitStack) -> Client:
    """Send a request for an export, and read nothing of the answer but its status, which is left in the reader."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.container.config.port, limit=64 * 1024)
    stack.callback(writer.close)
    token = service.tokens.headers(tenant, ["tenant:admin"])["Authorization"]
    writer.write(f"GET /common/data/export HTTP/1.0\r\nHost: here\r\nAuthorization: {token}\r\n\r\n".encode())
    return reader, writer


async def status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


async def lines(reader: asyncio.StreamReader) -> list[dict[str, Any]]:
    """The lines of the export, whole or not; the head is read before them."""
    await reader.readuntil(b"\r\n\r\n")
    return [orjson.loads(line) for line in (await reader.read(-1)).splitlines(keepends=True) if line.endswith(b"\n")]


async def assert_others_are_served(service: RunningService) -> None:
    """Another tenant is answered, the process is ready, and it reads its revocations."""
    headers = service.tokens.headers(new_tenant(), ["users:read"])
    assert (await service.client.get("/common/rows", headers=headers)).status_code == 200
    assert (await service.client.get("/common/health/ready")).status_code == 200
    await service.container.revocations.refresh()


async def no_snapshot(service: RunningService) -> bool:
    async with service.container.database.connection() as connection:
        return bool(await connection.fetchval(SNAPSHOTS) == 0)


async def test_clients_that_do_not_read_their_exports_hold_one_share_and_no_connection(
    config: ServiceConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "STALL", 60.0)  # so that a slow machine does not need the time
    tenant = new_tenant()
    async with serving(config) as service, AsyncExitStack() as stack:
        exports = shares_of(service)
        clients = [await begin(service, tenant, stack) for _ in range(10)]

        async def the_rest_is_refused() -> bool:
            return exports.refusals["share"] == 9

        await eventually(the_rest_is_refused, "all but one export are refused")
        await assert_others_are_served(service)
        await eventually(lambda: no_snapshot(service), "the export that nobody reads has ended its transaction")
        assert (exports.holders, service.container.database.connections.used) == (1, 0)

        async def the_rest_is_free() -> (
            bool
        ):  # soon after its transaction: its connection and its file are closed first
            return exports.used < exports.share

        await eventually(the_rest_is_free, "the rest of its share is free when it is written")
        found = {await status(reader): reader for reader, _ in clients}
        assert sorted(found) == [200, 429]
        assert b"retry-after: " in (await found[429].readuntil(b"\r\n\r\n")).lower()
        assert b"share_exceeded" in await found[429].read(-1)
        *rows, end = await lines(found[200])
        assert [row["data"]["number"] for row in rows] == [*range(1, ROWS + 1)]
        assert end == {"kind": "end", "count": ROWS}

        async def is_free() -> bool:
            return exports.used == 0

        await eventually(is_free, "the share is free again")


async def test_a_client_that_reads_too_slowly_is_disconnected_and_its_share_is_free(
    config: ServiceConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "STALL", 0.2)
    monkeypatch.setattr(sending, "MIN_READ_RATE", 1024 * 1024)
    tenant = new_tenant()
    async with serving(config) as service, AsyncExitStack() as stack:
        exports = shares_of(service)
        reader, _ = await begin(service, tenant, stack)

        async def runs() -> bool:
            return exports.used > 0

        async def is_free() -> bool:
            return exports.used == 0

        await eventually(runs, "the export runs")
        await eventually(is_free, "the export of the client that does not read has ended")
        assert await status(reader) == 200
        assert (await lines(reader))[-1]["kind"] == "thing", "the export is not whole"
        another, _ = await begin(service, tenant, stack)
        assert await status(another) == 200


async def test_an_export_that_is_larger_than_its_place_on_disk_is_whole(config: ServiceConfig) -> None:
    async with serving(config, export_bytes=1024 * 1024) as service, AsyncExitStack() as stack:
        reader, _ = await begin(service, new_tenant(), stack)
        assert await status(reader) == 200
        assert (await lines(reader))[-1] == {"kind": "end", "count": ROWS}


async def test_a_client_that_disconnects_ends_its_export(config: ServiceConfig) -> None:
    async with serving(config, export_bytes=1024 * 1024) as service, AsyncExitStack() as stack:
        exports = shares_of(service)
        _, writer = await begin(service, new_tenant(), stack)

        async def runs() -> bool:
            return exports.used > 0

        async def is_free() -> bool:
            return exports.used == 0 and await no_snapshot(service)

        await eventually(runs, "the export runs")
        writer.close()
        await eventually(is_free, "the export has ended")


async def test_tenants_that_read_slowly_keep_no_other_tenant_from_its_export(
    config: ServiceConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "STALL", 60.0)  # so that a slow machine does not need the time
    async with serving(config, export_bytes=64 * 1024 * 1024) as service, AsyncExitStack() as stack:
        exports = shares_of(service)
        for number in range(1, EXPORTS + 1):

            async def is_written(number: int = number) -> bool:
                return exports.holders == number and exports.used < number * exports.share

            reader, _ = await begin(service, new_tenant(), stack)
            assert await status(reader) == 200
            await eventually(lambda: no_snapshot(service), "the export is written")
            await eventually(is_written, "it holds only the disk that it uses")
        another, _ = await begin(service, new_tenant(), stack)
        assert await status(another) == 200
        assert (await lines(another))[-1] == {"kind": "end", "count": ROWS}


async def test_a_client_that_reads_an_export_below_its_rate_is_disconnected(
    config: ServiceConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_export, "EXPORT_PATIENCE", 0.2)
    monkeypatch.setattr(data_export, "EXPORT_RATE", 1024 * 1024 * 1024)
    async with serving(config) as service, AsyncExitStack() as stack:
        exports = shares_of(service)
        reader, _ = await begin(service, new_tenant(), stack)
        assert await status(reader) == 200
        await reader.readuntil(b"\r\n\r\n")
        size = 0
        while piece := await reader.read(CHUNK):
            size += len(piece)
            await asyncio.sleep(0.01)  # fast enough for MIN_RATE
        assert 0 < size < ROWS * 1000, "the export is not whole"

        async def is_free() -> bool:
            return exports.used == 0

        await eventually(is_free, "its share is free")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for less than the first rows."""
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=32k", "none", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["/bin/umount", "-l", str(tmp_path)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small file system")
async def test_a_full_disk_is_reported_as_such(config: ServiceConfig, small_disk: Path) -> None:
    async with serving(config, export_dir=small_disk) as service:
        headers = service.tokens.headers(new_tenant(), ["tenant:admin"])
        response = await service.client.get("/common/data/export", headers=headers)
        found = await response.json
        assert (response.status_code, found["code"]) == (503, "disk_full")
        assert str(small_disk) in found["detail"]
        assert shares_of(service).used == 0
