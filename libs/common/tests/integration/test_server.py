"""The real server: TLS and HTTP/2, limits on a body without a length, and an end that finishes what runs."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import h2.connection
import h2.events
import httpx
import pytest
import trustme
from hyperframe.frame import DataFrame
from quart import Quart, Response, request

from quartet_cli import ports
from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.server_settings import public_config
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import public
from quartet_serving import server, wire_format
from quartet_serving.http2_connection import Http2Connection
from quartet_serving.server import serve_app
from quartet_testing.conditions import eventually

LARGE = 16 * 1024 * 1024
Serve = Callable[..., AbstractAsyncContextManager["Served"]]


class Served:
    """A server that runs, and what its routes wait for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stopping = asyncio.Event()
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.running: asyncio.Future[None]

    def create_app(self, container: AppContainer[ServiceConfig]) -> Quart:
        """An app with a slow route and one that reads a body."""
        app = create_base_app(container, title="Common")

        @app.get("/common/slow")
        @public
        async def slow() -> str:
            self.begun.set()
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return "done"

        @app.get("/common/large")
        @public
        async def large() -> bytes:
            return b"x" * LARGE

        @app.get("/common/pieces")
        @public
        async def pieces() -> Response:
            async def produce() -> AsyncIterator[bytes]:
                for number in range(1000):
                    yield b"%d\n" % number

            return Response(produce(), content_type="text/plain")

        @app.post("/common/length")
        @public
        async def length() -> dict[str, int]:
            return {"length": len(await request.get_data())}

        @app.get("/common/address")
        @public
        async def address() -> dict[str, str | None]:
            return {"address": request.remote_addr, "scheme": request.scheme}

        return app


@pytest.fixture
def serve(config: ServiceConfig) -> Serve:
    """Serves on a free port, with changed settings, until the end of the block."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[Served]:
        [port] = ports.choose(1, set())
        changed = config.model_copy(update={"port": port, "max_body_bytes": 1000, **changes})
        scheme = "https" if changed.certfile else "http"
        served = Served(f"{scheme}://127.0.0.1:{port}")
        app = served.create_app(AppContainer(changed))
        running = served.running = asyncio.ensure_future(
            serve_app(app, public_config(changed), served.stopping, changed.trusted_proxies)
        )

        async def listening() -> bool:
            assert not running.done(), running.exception()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True

        async def answers() -> bool:
            try:
                return await listening()
            except OSError:
                return False

        await eventually(answers, "the server listens")
        try:
            yield served
        finally:
            served.stopping.set()
            await asyncio.wait_for(running, 15)

    return start


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """A certificate for 127.0.0.1 and its key, as settings."""
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(tmp_path / "cert.pem"), append=number > 0)
    return {"certfile": tmp_path / "cert.pem", "keyfile": tmp_path / "key.pem"}


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize(("protocol", "version"), [("h2", "HTTP/2"), ("http/1.1", "HTTP/1.1")])
async def test_over_tls_a_client_that_knows_http_2_gets_what_is_configured(
    serve: Serve, authority: trustme.CA, files: dict[str, Path], protocol: str, version: str
) -> None:
    async with (
        serve(protocol=protocol, **files) as served,
        httpx.AsyncClient(http2=True, verify=trusting(authority), trust_env=False) as client,
    ):
        response = await client.get(f"{served.url}/common/health/live")
        assert (response.status_code, response.http_version) == (200, version)
        assert response.json() == {"status": "live"}


async def test_with_http_2_an_old_client_still_gets_its_http_1(
    serve: Serve, authority: trustme.CA, files: dict[str, Path]
) -> None:
    async with (
        serve(protocol="h2", **files) as served,
        httpx.AsyncClient(http2=False, verify=trusting(authority), trust_env=False) as client,
    ):
        response = await client.get(f"{served.url}/common/health/live")
        assert (response.status_code, response.http_version) == (200, "HTTP/1.1")


async def test_many_requests_share_one_http_2_connection(
    serve: Serve, authority: trustme.CA, files: dict[str, Path]
) -> None:
    limits = httpx.Limits(max_connections=1)
    async with (
        serve(protocol="h2", **files) as served,
        httpx.AsyncClient(http2=True, verify=trusting(authority), trust_env=False, limits=limits) as client,
    ):
        waiting = asyncio.ensure_future(client.get(f"{served.url}/common/slow"))
        await served.begun.wait()
        others = [client.post(f"{served.url}/common/length", content=b"x" * n) for n in range(50)]
        assert [answer.json()["length"] for answer in await asyncio.gather(*others)] == list(range(50))
        served.go_on.set()
        assert (await waiting).text == "done"


async def test_a_client_that_does_not_know_the_authority_does_not_connect(serve: Serve, files: dict[str, Path]) -> None:
    async with serve(protocol="h2", **files) as served, httpx.AsyncClient(http2=True, trust_env=False) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"{served.url}/common/health/live")


@pytest.mark.parametrize("http2", [False, True])
async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(
    serve: Serve, authority: trustme.CA, files: dict[str, Path], http2: bool
) -> None:
    async def body(pieces: int) -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b"x" * 100

    async with (
        serve(protocol="h2", **files) as served,
        httpx.AsyncClient(http2=http2, verify=trusting(authority), trust_env=False) as client,
    ):
        fits = await client.post(f"{served.url}/common/length", content=body(10))
        assert fits.json() == {"length": 1000}
        too_large = await client.post(f"{served.url}/common/length", content=body(11))
        assert too_large.status_code == 413
        assert too_large.headers["Content-Type"] == "application/problem+json"


async def test_a_request_that_runs_when_the_end_comes_is_finished(serve: Serve) -> None:
    async with serve() as served, httpx.AsyncClient(trust_env=False) as client:
        waiting = asyncio.ensure_future(client.get(f"{served.url}/common/slow"))
        await served.begun.wait()
        served.stopping.set()
        served.go_on.set()
        response = await waiting
        assert (response.status_code, response.text) == (200, "done")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "5"}])
async def test_a_request_whose_client_has_gone_is_not_worked_on(serve: Serve, headers: dict[str, str]) -> None:
    async with serve() as served:
        port = int(served.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = ["GET /common/slow HTTP/1.1", "Host: quartet", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join((*lines, "", "")).encode())
        await served.begun.wait()
        writer.close()
        await asyncio.wait_for(served.cancelled.wait(), 10)


async def test_a_body_that_comes_late_and_in_pieces_is_the_same_to_a_route(serve: Serve) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(10):
            await asyncio.sleep(0.01)
            yield b"x" * 10

    async with serve() as served, httpx.AsyncClient(trust_env=False) as client:
        for content in (b"x" * 100, body()):
            answer = await client.post(f"{served.url}/common/length", content=content)
            assert answer.json() == {"length": 100}


@pytest.mark.parametrize("http2", [False, True])
async def test_a_response_that_is_made_in_pieces_arrives_whole(
    serve: Serve, authority: trustme.CA, files: dict[str, Path], http2: bool
) -> None:
    async with (
        serve(protocol="h2", **files) as served,
        httpx.AsyncClient(http2=http2, verify=trusting(authority), trust_env=False) as client,
    ):
        for _ in range(2):
            response = await client.get(f"{served.url}/common/pieces")
            assert response.text == "".join(f"{number}\n" for number in range(1000))


async def test_what_a_slow_client_has_not_read_yet_when_the_end_comes_still_reaches_it(serve: Serve) -> None:
    async with serve() as served:
        port = int(served.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /common/large HTTP/1.1\r\nHost: quartet\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d" % LARGE in head
        served.stopping.set()
        await asyncio.wait_for(takes_nothing_new(port), 10)
        assert len(await reader.readexactly(LARGE)) == LARGE
        writer.close()


async def takes_nothing_new(port: int) -> None:
    """Wait until the port is closed."""
    with suppress(ConnectionError):
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await asyncio.sleep(0.01)


async def test_what_proxies_forward_is_believed_only_as_far_as_they_are_trusted(serve: Serve) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7", "X-Forwarded-Proto": "https"}
    for proxies, seen in ((0, ("127.0.0.1", "http")), (1, ("192.0.2.7", "https"))):
        async with serve(trusted_proxies=proxies) as served, httpx.AsyncClient(trust_env=False) as client:
            answer = (await client.get(f"{served.url}/common/address", headers=forwarded)).json()
            assert (answer["address"], answer["scheme"]) == seen


@pytest.mark.parametrize("asks", [True, False])
async def test_a_tls_client_that_does_not_say_goodbye_does_not_hold_up_the_end(
    serve: Serve, authority: trustme.CA, files: dict[str, Path], *, asks: bool
) -> None:
    async with serve(protocol="http/1.1", shutdown_timeout=60, **files) as served:
        port = int(served.url.rpartition(":")[2])
        trusted = trusting(authority)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            client = await asyncio.to_thread(trusted.wrap_socket, plain, server_hostname="127.0.0.1")
            if asks:
                client.sendall(b"GET /common/address HTTP/1.1\r\nHost: quartet\r\n\r\n")
                assert (await asyncio.to_thread(client.recv, 100)).startswith(b"HTTP/1.1 200 ")
            served.stopping.set()
            await asyncio.wait_for(asyncio.shield(served.running), 10)
            client.close()


async def test_a_client_that_keeps_sending_after_an_early_answer_does_not_hold_up_the_end(
    serve: Serve, authority: trustme.CA, files: dict[str, Path]
) -> None:
    async with serve(protocol="h2", shutdown_timeout=2, **files) as served:
        context = trusting(authority)
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]), ssl=context)
        client = h2.connection.H2Connection()
        client.initiate_connection()
        pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "quartet")]
        for number, path in ((1, "/common/length"), (3, "/common/slow"), (5, "/common/length")):
            method = [(":method", "GET"), *pseudo[1:]] if path == "/common/slow" else pseudo
            client.send_headers(number, [*method, (":path", path)], end_stream=path == "/common/slow")
        for number in (1, 5):
            client.send_data(number, b"x" * (2000 if number == 1 else 10))
        writer.write(client.data_to_send())
        seen: dict[int, int] = {}
        while 1 not in seen:
            for event in client.receive_data(await reader.read(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    seen[event.stream_id] = int(dict(event.headers)[b":status"])
        assert seen == {1: 413}
        writer.write(DataFrame(1, data=b"x" * 2000).serialize())
        served.stopping.set()
        await asyncio.wait_for(asyncio.shield(served.running), 6)  # though two requests run and the client stays
        writer.transport.abort()


@pytest.mark.parametrize("flaw", [None, ValueError("a bug")])
async def test_the_time_limits_hold_for_all_after_connections_that_fail_while_they_are_checked(
    serve: Serve,
    authority: trustme.CA,
    files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flaw: Exception | None,
) -> None:
    """Also over TLS on uvloop, where a transport that has ended has no socket for one turn of the loop."""
    monkeypatch.setattr(server, "LATE_INTERVAL", 0.001)
    looked_at = asyncio.Event()
    look = wire_format.unsent

    def fail_at_first(transport: asyncio.Transport) -> int:
        if not looked_at.is_set():
            looked_at.set()
            if flaw is not None:
                raise flaw
            return look(Ended())
        return look(transport)

    async with serve(protocol="h2", **files) as served:
        monkeypatch.setattr(wire_format, "unsent", fail_at_first)
        context = trusting(authority)
        context.set_alpn_protocols(["h2"])
        port = int(served.url.rpartition(":")[2])
        _, failing = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        await asyncio.wait_for(looked_at.wait(), 10)
        failing.transport.abort()
        monkeypatch.setattr(Http2Connection, "close_if_late", lambda one, _: one.abort())
        reader, _ = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)  # the server looks at connections, and closes this one
    assert ("could not be checked" in caplog.text) is (flaw is not None)


class Ended(asyncio.Transport):
    """uvloop's TLS transport between its end and `connection_lost`."""

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _: str, default: Any = None) -> Any:
        return default
