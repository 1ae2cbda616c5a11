"""A Quart application on the server: bodies, back-pressure, disconnects and the end."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from prometheus_client import REGISTRY
from quart import Quart, Response, request

from quartet_serving.asgi import ServedApp
from quartet_serving.request import ServedRequest
from quartet_serving.request_metrics import with_request_metrics
from quartet_serving.server import Settings, serve_app
from quartet_testing.conditions import eventually

LARGE = 16 * 1024 * 1024
PIECES = 256
WAIT = 10


class App(ServedApp):
    """Counts the requests that have ended."""

    ended = 0

    def end_request(self, _: ServedRequest) -> None:
        self.ended += 1


class Served:
    """A running server with some routes, and what they have seen."""

    def __init__(self, app: Quart) -> None:
        self.app = app
        self.stopping = asyncio.Event()
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.finished = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.requests: list[ServedRequest] = []
        self.sent = 0
        self.port = 0
        self.running: asyncio.Future[None]
        app.add_url_rule("/echo", view_func=self.echo, methods=["POST"])
        app.add_url_rule("/form", view_func=self.form, methods=["POST"])
        app.add_url_rule("/waits", view_func=self.waits, methods=["GET", "POST"])
        app.add_url_rule("/stream", view_func=self.stream, methods=["GET"])
        app.add_url_rule("/fails", view_func=self.fails, methods=["GET"])

    async def echo(self) -> Response:
        self.begun.set()
        data = await request.get_data()
        return Response(data, content_type="application/octet-stream")

    async def form(self) -> str:
        return ",".join(f"{name}={value}" for name, value in (await request.form).items())

    async def waits(self) -> str:
        self.requests.append(request._get_current_object())  # type: ignore[attr-defined]  # of the proxy
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.finished.set()
        return "done"

    async def stream(self) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(PIECES):
                yield b"~" * (LARGE // PIECES)
                self.sent += 1

        response = Response(pieces())
        response.timeout = None
        return response

    async def fails(self) -> str:
        raise ValueError("the view has a bug")

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, sent: bytes) -> tuple[int, bytes]:
        """Status and body of the response to `sent`."""
        reader, writer = await self.open()
        writer.write(sent)
        try:
            return await response_of(reader)
        finally:
            writer.close()


async def response_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next response, which has a Content-Length."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT)
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return int(head.split(b" ")[1]), await reader.readexactly(int(length[1]))


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A request with a body and a Content-Length of `length`."""
    size = len(body) if length is None else length
    lines = (f"POST {path} HTTP/1.1", "Host: quartet", f"Content-Length: {size}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def serve(app: Quart) -> AsyncIterator[Served]:
    """Serve `app` on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    served = Served(app)
    served.port = listener.getsockname()[1]

    class Listening(Settings):
        def listen(self) -> socket.socket:
            return listener

    made = Listening("127.0.0.1", served.port, 5.0)
    served.running = asyncio.ensure_future(serve_app(app, made, served.stopping))
    try:
        yield served
    finally:
        served.stopping.set()
        served.go_on.set()
        await asyncio.wait_for(served.running, WAIT)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    app = App("test", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 2 * LARGE
    app.keep_responses()
    app.asgi_app = with_request_metrics(app.asgi_app, "/health/", exports_spans=False)  # type: ignore[method-assign]  # as documented
    async with serve(app) as running:
        yield running


async def test_a_request_is_measured_at_its_route_and_without_one_at_none(served: Served) -> None:
    def counted(route: str, status: int) -> float:
        labels = {"url_scheme": "http", "http_response_status_code": str(status), "http_route": route}
        name = "http_server_request_duration_seconds_count"
        return REGISTRY.get_sample_value(name, {"http_request_method": "POST", **labels}) or 0.0

    before = counted("/named/<name>", 200), counted("", 404)
    served.app.add_url_rule("/named/<name>", view_func=lambda name: name, methods=["POST"])
    assert await served.ask(post("/named/one", b"")) == (200, b"one")
    assert (await served.ask(post("/nowhere", b"")))[0] == 404
    assert (counted("/named/<name>", 200), counted("", 404)) == (before[0] + 1, before[1] + 1)


async def test_a_body_is_received_whole_at_once_or_in_pieces(served: Served) -> None:
    assert await served.ask(post("/echo", b"at once")) == (200, b"at once")
    served.begun.clear()
    reader, writer = await served.open()
    writer.write(post("/echo", b"in ", length=9))
    await asyncio.wait_for(served.begun.wait(), WAIT)
    writer.write(b"pieces")
    assert await response_of(reader) == (200, b"in pieces")
    writer.close()


async def test_a_large_body_arrives_whole(served: Served) -> None:
    body = bytes(range(256)) * (LARGE // 256)
    assert await served.ask(post("/echo", body)) == (200, body)


async def test_a_form_is_read_whether_it_came_with_the_head_or_later(served: Served) -> None:
    kind = "Content-Type: application/x-www-form-urlencoded"
    assert await served.ask(post("/form", b"a=1&b=2", kind)) == (200, b"a=1,b=2")
    reader, writer = await served.open()
    writer.write(post("/form", b"", kind, length=7))
    writer.write(b"a=1&b=2")
    assert await response_of(reader) == (200, b"a=1,b=2")
    writer.close()


async def test_a_body_above_the_limit_is_refused(served: Served) -> None:
    served.app.config["MAX_CONTENT_LENGTH"] = 10
    assert (await served.ask(post("/echo", b"x" * 11)))[0] == 413
    assert (await served.ask(post("/echo", b"x" * 10)))[0] == 200


async def test_a_body_that_no_view_reads_stays_in_the_connection(served: Served) -> None:
    reader, writer = await served.open()
    writer.write(post("/waits", b"x" * LARGE))
    await asyncio.wait_for(served.begun.wait(), WAIT)
    waiting = [-1]

    async def stands_still() -> bool:
        waiting.append(writer.transport.get_write_buffer_size())
        return waiting[-1] == waiting[-2]

    await eventually(stands_still, "the client cannot send more")
    assert waiting[-1] > LARGE // 2
    assert served.requests[0].body.size == 0
    served.go_on.set()
    assert await response_of(reader) == (200, b"done")
    writer.close()


async def test_a_client_that_does_not_read_stops_the_view(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    writer.write(b"GET /stream HTTP/1.1\r\nHost: quartet\r\nConnection: close\r\n\r\n")
    seen = [-1]

    async def stands_still() -> bool:
        seen.append(served.sent)
        return served.sent > 0 and seen[-1] == seen[-2]

    await eventually(stands_still, "the view stops")
    assert served.sent < PIECES
    assert (await asyncio.wait_for(reader.read(), 2 * WAIT)).count(b"~") == LARGE
    writer.close()


async def test_a_request_by_a_safe_method_ends_with_its_client(served: Served) -> None:
    _, writer = await served.open()
    writer.write(b"GET /waits HTTP/1.1\r\nHost: quartet\r\n\r\n")
    await asyncio.wait_for(served.begun.wait(), WAIT)
    writer.close()
    await asyncio.wait_for(served.cancelled.wait(), WAIT)


@pytest.mark.parametrize("length", [0, 4])
async def test_a_write_that_has_arrived_is_finished_without_its_client(served: Served, length: int) -> None:
    _, writer = await served.open()
    writer.write(post("/waits", b"x" * length))
    await asyncio.wait_for(served.begun.wait(), WAIT)
    writer.close()

    async def abandoned() -> bool:
        return served.requests[0].is_abandoned

    await eventually(abandoned, "the disconnect is noticed")
    served.go_on.set()
    await asyncio.wait_for(served.finished.wait(), WAIT)
    assert not served.cancelled.is_set()


async def test_errors_are_answered_and_every_request_is_ended_once(served: Served) -> None:
    get = b"GET %b HTTP/1.1\r\nHost: quartet\r\n\r\n"
    statuses = [(await served.ask(get % path))[0] for path in (b"/none", b"/fails", b"/echo")]
    assert statuses == [404, 500, 405]
    assert cast(App, served.app).ended == 3


async def test_a_running_request_is_answered_at_the_end(served: Served) -> None:
    reader, writer = await served.open()
    writer.write(post("/waits", b"x"))
    await asyncio.wait_for(served.begun.wait(), WAIT)
    served.stopping.set()
    served.go_on.set()
    assert await response_of(reader) == (200, b"done")
    assert await asyncio.wait_for(reader.read(), WAIT) == b""
    await asyncio.wait_for(asyncio.shield(served.running), WAIT)
    writer.close()


async def test_an_application_of_plain_quart_is_served_too() -> None:
    async with serve(Quart("plain", static_folder=None)) as served:
        assert await served.ask(post("/echo", b"abc")) == (200, b"abc")
        assert (await served.ask(b"GET /none HTTP/1.1\r\nHost: quartet\r\n\r\n"))[0] == 404
