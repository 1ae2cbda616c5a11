"""Clients that disconnect: what their requests were to change is finished, what only they need ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import trustme
from quart import Quart, request

from quartet_cli import ports
from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.server_settings import public_config
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import public
from quartet_common.web.service_request import ServiceRequest, running_request, stop_on_disconnect
from quartet_serving.server import serve_app
from quartet_testing.conditions import eventually

METHODS = ["POST", "PUT", "PATCH", "DELETE"]
WAIT = 10.0
Serve = Callable[..., AbstractAsyncContextManager["Served"]]


class Served:
    """A server with a route that writes and one that searches; how far they have come, and what they wait for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stopping = asyncio.Event()
        self.begun = asyncio.Event()
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()
        self.stops = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.finished = asyncio.Event()
        self.request: ServiceRequest | None = None
        self.running: asyncio.Future[None]

    def create_app(self, container: AppContainer[ServiceConfig]) -> Quart:
        app = create_base_app(container, title="Common")

        @app.route("/common/write", methods=METHODS)
        @public
        async def write() -> str:
            return await self._work(stops=False)

        @app.post("/common/search")
        @public
        async def search() -> str:
            return await self._work(stops=True)

        return app

    async def _work(self, *, stops: bool) -> str:
        self.request = cast(ServiceRequest, running_request())
        self.begun.set()
        try:
            await request.get_data()
            self.arrived.set()
            await self.go_on.wait()
            if stops:
                stop_on_disconnect()
                self.stops.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.finished.set()
        return "done"

    async def send(self, method: str, path: str, body: bytes = b"", length: int | None = None) -> asyncio.StreamWriter:
        """Send a request on a socket of its own, which the caller closes."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        size = len(body) if length is None else length
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: quartet\r\nContent-Length: {size}\r\n\r\n".encode() + body)
        return writer

    async def noticed(self) -> None:
        """Wait until the server knows that the client has disconnected."""

        async def known() -> bool:
            return self.cancelled.is_set() or (self.request is not None and self.request.is_abandoned)

        await eventually(known, "the server notices the disconnect")


@pytest.fixture
def serve(config: ServiceConfig) -> Serve:
    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[Served]:
        [port] = ports.choose(1, set())
        changed = config.model_copy(update={"port": port, **changes})
        served = Served(port)
        app = served.create_app(AppContainer(changed))
        served.running = asyncio.ensure_future(serve_app(app, public_config(changed), served.stopping, 0))

        async def listening() -> bool:
            assert not served.running.done(), served.running.exception()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(listening, "the server listens")
        try:
            yield served
        finally:
            served.stopping.set()
            served.go_on.set()
            await asyncio.wait_for(served.running, 15)

    return start


@pytest.mark.parametrize("method", METHODS)
async def test_a_write_is_finished_although_its_client_disconnects(serve: Serve, method: str) -> None:
    async with serve() as served:
        writer = await served.send(method, "/common/write")
        await served.arrived.wait()
        writer.close()
        await served.noticed()
        served.go_on.set()
        await asyncio.wait_for(served.finished.wait(), WAIT)
        assert not served.cancelled.is_set()


async def test_a_write_whose_body_arrives_in_pieces_is_finished_although_its_client_disconnects(serve: Serve) -> None:
    async with serve() as served:
        writer = await served.send("POST", "/common/write", b"half", length=8)
        await served.begun.wait()
        writer.write(b"half")
        await served.arrived.wait()
        writer.close()
        await served.noticed()
        served.go_on.set()
        await asyncio.wait_for(served.finished.wait(), WAIT)


async def test_a_client_that_disconnects_right_after_its_write_has_it_carried_out(serve: Serve) -> None:
    async with serve() as served:
        served.go_on.set()
        (await served.send("POST", "/common/write")).close()
        await asyncio.wait_for(served.finished.wait(), WAIT)


async def test_the_server_waits_at_its_end_for_a_write_whose_client_has_disconnected(serve: Serve) -> None:
    async with serve() as served:
        writer = await served.send("POST", "/common/write")
        await served.arrived.wait()
        writer.close()
        await served.noticed()
        served.stopping.set()
        done, _ = await asyncio.wait([served.running], timeout=0.1)
        assert not done
        served.go_on.set()
        await asyncio.wait_for(asyncio.shield(served.running), WAIT)
        assert served.finished.is_set()


async def test_a_write_that_has_not_arrived_whole_ends_when_its_client_disconnects(serve: Serve) -> None:
    async with serve() as served:
        writer = await served.send("POST", "/common/write", b"half", length=8)
        await served.begun.wait()
        writer.close()
        await asyncio.wait_for(served.cancelled.wait(), WAIT)


@pytest.mark.parametrize("disconnects_before", [False, True])
async def test_what_only_the_client_needs_ends_when_it_disconnects(serve: Serve, *, disconnects_before: bool) -> None:
    async with serve() as served:
        writer = await served.send("POST", "/common/search")
        await served.arrived.wait()
        if disconnects_before:
            writer.close()
            await served.noticed()
        served.go_on.set()
        await served.stops.wait()
        writer.close()
        await asyncio.wait_for(served.cancelled.wait(), WAIT)
        assert not served.finished.is_set()


async def test_a_write_over_http_2_is_finished_although_its_client_disconnects(serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    files = {"certfile": tmp_path / "own.pem", "keyfile": tmp_path / "own.pem"}
    async with serve(protocol="h2", **files) as served:
        client = httpx.AsyncClient(http2=True, verify=str(tmp_path / "authority.pem"), trust_env=False)
        asking = asyncio.ensure_future(client.post(f"https://127.0.0.1:{served.port}/common/write"))
        await served.arrived.wait()
        asking.cancel()
        await client.aclose()
        await served.noticed()
        served.go_on.set()
        await asyncio.wait_for(served.finished.wait(), WAIT)
