"""HTTP/2 frame by frame, with h2 as a client without checks."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
)

from quartet_serving.http1_connection import Host
from quartet_serving.http2_connection import Http2Connection
from quartet_serving.http2_frames import MAX_STREAMS
from quartet_testing.conditions import eventually

LARGE = 3 * 1024 * 1024


class Application:
    """An ASGI application with a path for each thing that can be needed."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.go_on = asyncio.Event()
        self.disconnected = 0
        self.sent = 0

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.seen.append(scope)
        await getattr(self, scope["path"].strip("/") or "echo")(scope, receive, send)

    async def echo(self, _: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected += 1
                return
            body, more = body + message["body"], message["more_body"]
        await answer(send, 200, body)

    async def slow(self, _: Any, __: Any, send: Callable[..., Any]) -> None:
        await self.go_on.wait()
        await answer(send, 200, b"done")

    async def refuse(self, _: Any, __: Any, send: Callable[..., Any]) -> None:
        """401 without a look at the body."""
        await answer(send, 401, b"no")

    async def large(self, _: Any, __: Any, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _number in range(48):
            await send({"type": "http.response.body", "body": b"x" * (LARGE // 48), "more_body": True})
            self.sent += 1
        await send({"type": "http.response.body", "body": b""})

    async def fail(self, _: Any, __: Any, ___: Any) -> None:
        raise ValueError("the application has a bug")


async def answer(send: Callable[..., Any], status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Client:
    """h2 as a client, and what it has received of each stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.reader, self.writer = reader, writer
        self.statuses: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goaway: int | None = None
        self.pongs = 0
        self.closed = False
        self.takes = True
        self.h2.initiate_connection()
        self.flush()
        self.reading = asyncio.create_task(self.read())

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def raw(self, *frames: Frame) -> None:
        """Send frames as they are, whatever h2 thinks of them."""
        self.writer.write(b"".join(frame.serialize() for frame in frames))

    def request(self, path: str = "/", *extra: tuple[str, str], method: str = "GET", ends: bool = True) -> int:
        number: int = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "quartet"), (":path", path)]
        self.h2.send_headers(number, [*pseudo, *extra], end_stream=ends)
        self.flush()
        return number

    def data(self, number: int, data: bytes, *, ends: bool = False) -> None:
        self.h2.send_data(number, data, end_stream=ends)
        self.flush()

    async def read(self) -> None:
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self.take(event)
                self.flush()
        except (ConnectionError, h2.exceptions.ProtocolError, ssl.SSLError):
            pass
        self.closed = True

    def take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.statuses[event.stream_id] = int(dict(event.headers)[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            if self.takes:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        async def holds() -> bool:
            return condition()

        await eventually(holds, what)

    async def response(self, number: int) -> tuple[int, bytes]:
        """Status and body of a whole response."""
        await self.until(lambda: number in self.ended, f"a response on stream {number}")
        return self.statuses[number], self.bodies.get(number, b"")

    async def reset(self, number: int) -> int:
        await self.until(lambda: number in self.resets, f"a reset of stream {number}")
        return self.resets[number]


class Running:
    """A server, and its clients."""

    def __init__(self, host: Host, application: Application, port: int) -> None:
        self.host, self.application, self.port = host, application, port
        self.clients: list[Client] = []

    async def client(self) -> Client:
        made = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(made)
        return made

    def pass_seconds(self, seconds: float) -> None:
        """Look at all connections as if it were later."""
        for one in list(self.host.connections):
            one.close_if_late(self.host.loop.time() + seconds)


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with serve() as running:
        yield running


@asynccontextmanager
async def serve() -> AsyncIterator[Running]:
    """Connections on a free port, of clients that know that HTTP/2 is spoken."""
    application = Application()
    host = Host(application, asyncio.Event(), 60.0)
    listening = await asyncio.get_running_loop().create_server(lambda: Http2Connection(host), "127.0.0.1", 0)
    running = Running(host, application, listening.sockets[0].getsockname()[1])
    try:
        yield running
    finally:
        listening.close()
        for client in running.clients:
            client.reading.cancel()
            client.writer.close()
        for task in list(host.tasks):
            task.cancel()
        for one in list(host.connections):
            one.abort()


async def test_streams_run_side_by_side_and_bodies_arrive_whole(server: Running) -> None:
    client = await server.client()
    waiting = client.request("/slow")
    posted = client.request(method="POST", ends=False)
    client.data(posted, b"one")
    client.data(posted, b"two", ends=True)
    assert await client.response(posted) == (200, b"onetwo")
    server.application.go_on.set()
    assert await client.response(waiting) == (200, b"done")
    scope = server.application.seen[0]
    assert (scope["http_version"], scope["method"], scope["path"]) == ("2", "GET", "/slow")
    assert (b"host", b"quartet") in scope["headers"]


async def test_an_early_response_to_a_client_that_keeps_sending_leaves_the_other_streams_alone(server: Running) -> None:
    client = await server.client()
    posted = client.request("/refuse", method="POST", ends=False)
    other = client.request("/slow")
    for _ in range(40):  # more than a stream's window in all
        client.raw(DataFrame(posted, data=b"x" * 1000))
    assert await client.response(posted) == (401, b"no")
    assert await client.reset(posted) == ErrorCodes.NO_ERROR
    for _ in range(40):
        client.raw(DataFrame(posted, data=b"x" * 1000))
    last = client.request()
    assert await client.response(last) == (200, b"")
    server.application.go_on.set()
    assert await client.response(other) == (200, b"done")
    assert not client.closed


async def test_a_body_that_nobody_takes_does_not_stop_the_other_streams(server: Running) -> None:
    client = await server.client()
    unread = client.request("/slow", method="POST", ends=False)
    await client.until(lambda: client.h2.outbound_flow_control_window > 1_000_000, "the connection's window")
    while client.h2.local_flow_control_window(unread) > 0:
        client.data(unread, b"x" * min(16000, client.h2.local_flow_control_window(unread)))
    posted = client.request(method="POST", ends=False)
    client.data(posted, b"x" * 16000, ends=True)
    assert await client.response(posted) == (200, b"x" * 16000)
    assert client.h2.local_flow_control_window(unread) == 0


async def test_a_client_that_does_not_read_holds_the_application_up(server: Running) -> None:
    client = await server.client()
    client.takes = False
    number = client.request("/large")
    await client.until(lambda: len(client.bodies.get(number, b"")) == 65535, "the window to be full")
    assert server.application.sent < 10
    client.takes = True
    client.h2.acknowledge_received_data(65535, number)
    client.flush()
    assert await client.response(number) == (200, b"x" * LARGE)


@pytest.mark.parametrize(
    "path", ["", "users", "http://quartet/", "*", "/a b", "/a#b", "/a\tb", "/\u00e9", "/a\x7f", "/<x>"]
)
async def test_a_path_that_is_none_is_refused_and_the_connection_goes_on(server: Running, path: str) -> None:
    client = await server.client()
    number = client.request(path)
    if path:
        status, body = await client.response(number)
        assert (status, json.loads(body)["code"]) == (400, "bad_request")
        assert await client.response(client.request()) == (200, b"")
    else:  # h2 sees to it, and calls it an error of the connection
        await client.until(lambda: client.closed, "the end")
    assert not [scope for scope in server.application.seen if scope["path"] != "/"]


@pytest.mark.parametrize(("length", "sent"), [("5", 4), ("3", 4), ("0", 1)])
async def test_a_body_of_another_length_than_was_said_ends_its_stream_only(
    server: Running, length: str, sent: int
) -> None:
    client = await server.client()
    other = client.request("/slow")
    number = client.request("/", ("content-length", length), method="POST", ends=False)
    client.data(number, b"x" * sent, ends=True)
    assert await client.reset(number) == ErrorCodes.PROTOCOL_ERROR
    await client.until(lambda: server.application.disconnected == 1, "the application to see it")
    server.application.go_on.set()
    assert await client.response(other) == (200, b"done")


def rapid_resets(client: Client) -> None:
    for _ in range(400):
        client.h2.reset_stream(client.request("/slow"), ErrorCodes.CANCEL)
    client.flush()


FLOODS: dict[str, Callable[[Client], None]] = {
    "resets": rapid_resets,
    "PING": lambda client: client.raw(*[PingFrame(0, opaque_data=b"12345678")] * 400),
    "SETTINGS": lambda client: client.raw(*[SettingsFrame(0, settings={1: 4096})] * 400),
    "PRIORITY": lambda client: client.raw(*[PriorityFrame(1, stream_weight=1)] * 400),
    "empty DATA": lambda client: client.raw(*[DataFrame(client.request(method="POST", ends=False))] * 400),
    "CONTINUATION": lambda client: client.raw(HeadersFrame(1, b""), *[ContinuationFrame(1, b"")] * 400),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_of_frames_ends_the_connection_and_leaves_nothing_running(server: Running, flood: str) -> None:
    client, other = await server.client(), await server.client()
    FLOODS[flood](client)
    await client.until(lambda: client.closed, "the end of the connection")
    if flood != "CONTINUATION":
        assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM
    server.application.go_on.set()
    await client.until(lambda: not server.host.tasks, "all requests to end")
    assert await other.response(other.request()) == (200, b"")


async def test_as_many_frames_as_clients_send_are_no_flood(server: Running) -> None:
    client = await server.client()
    for _ in range(50):
        client.h2.ping(b"12345678")
        number = client.request("/slow")
        client.h2.reset_stream(number, ErrorCodes.CANCEL)
    client.flush()
    assert await client.response(client.request()) == (200, b"")


async def test_a_head_that_is_not_complete_after_ten_seconds_ends_the_connection(server: Running) -> None:
    begun, idle = await server.client(), await server.client()
    assert await begun.response(begun.request()) == (200, b"")
    assert await idle.response(idle.request()) == (200, b"")
    begun.raw(HeadersFrame(3, b"\x82"))
    await begun.until(lambda: any(one._frame_due for one in server.host.connections), "the head to begin")
    server.pass_seconds(9)
    assert not begun.closed
    server.pass_seconds(11)
    await begun.until(lambda: begun.closed, "the end")
    assert await idle.response(idle.request()) == (200, b"")


async def test_a_request_that_is_reset_in_the_same_packet_leaves_the_other_streams_alone(server: Running) -> None:
    client = await server.client()
    other = client.request("/slow")
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "quartet"), (":path", "/x y")]
    malformed = client.h2.get_next_available_stream_id()
    client.h2.send_headers(malformed, pseudo, end_stream=True)
    client.h2.reset_stream(malformed)
    client.flush()
    await client.until(lambda: bool(server.application.seen), "the other request to run")
    [one] = server.host.connections
    one._running = MAX_STREAMS  # as with as many requests that were reset and still run
    client.h2.send_headers(client.h2.get_next_available_stream_id(), [*pseudo[:3], (":path", "/")], end_stream=True)
    client.h2.reset_stream(malformed + 2)
    client.h2.ping(b"12345678")
    client.flush()
    await client.until(lambda: client.pongs == 1, "the answer to what was sent after it")
    one._running = 1
    server.application.go_on.set()
    assert await client.response(other) == (200, b"done")


async def test_data_for_a_stream_that_was_reset_does_not_end_the_connection(server: Running) -> None:
    client = await server.client()
    other = client.request("/slow")
    refused = client.request("/x y", method="POST", ends=False)
    await client.reset(refused)
    client.raw(DataFrame(refused, b"x" * 100))
    client.h2.ping(b"12345678")
    client.flush()
    await client.until(lambda: client.pongs == 1, "the answer to what was sent after it")
    client.raw(DataFrame(refused, b"x" * 100))
    received = next(iter(server.host.connections))._h2
    await client.until(lambda: received.inbound_flow_control_window < 100 * 65_535 - 100, "the data to arrive")
    server.pass_seconds(11)
    server.application.go_on.set()
    assert await client.response(other) == (200, b"done")


async def test_a_data_frame_that_arrives_at_the_minimum_rate_is_waited_for_and_a_slower_one_is_not() -> None:
    for size, is_closed in ((2048, False), (100, True)):
        async with serve() as server:
            client = await server.client()
            number = client.request("/slow", method="POST", ends=False)
            await client.until(lambda s=server: bool(s.application.seen), "the request to run")  # type: ignore[misc]
            [one] = server.host.connections
            frame = DataFrame(number, b"x" * 16_000).serialize()
            client.writer.write(frame[:100])
            await client.until(lambda c=one: c._frame_due is not None, "the frame to begin")  # type: ignore[misc]
            one._frame_due -= 9  # nine seconds later
            client.writer.write(frame[100 : 100 + size])
            held = one._h2.incoming_buffer
            await client.until(lambda b=held, n=size: len(b._data) == 100 + n, "more of the frame")  # type: ignore[misc]
            server.pass_seconds(2)
            assert one._closing is is_closed


async def test_a_body_that_arrives_too_slowly_is_refused_and_the_connection_goes_on(server: Running) -> None:
    client = await server.client()
    number = client.request(method="POST", ends=False)
    client.data(number, b"x")
    await client.until(lambda: bool(server.application.seen), "the request to run")
    assert await client.response(client.request()) == (200, b"")
    server.pass_seconds(9)
    server.pass_seconds(11)
    assert (await client.response(number))[0] == 408
    assert await client.response(client.request()) == (200, b"")


async def test_a_client_that_is_idle_is_given_up_and_one_that_waits_is_not(server: Running) -> None:
    idle, waiting = await server.client(), await server.client()
    number = waiting.request("/slow")
    await waiting.until(lambda: bool(server.application.seen), "the request to run")
    server.pass_seconds(61)
    await idle.until(lambda: idle.closed, "the end")
    server.application.go_on.set()
    assert await waiting.response(number) == (200, b"done")


async def test_an_application_that_fails_is_a_500_and_the_other_streams_go_on(server: Running) -> None:
    client = await server.client()
    failed, other = client.request("/fail"), client.request("/slow")
    status, body = await client.response(failed)
    assert (status, json.loads(body)["code"]) == (500, "internal_server_error")
    server.application.go_on.set()
    assert await client.response(other) == (200, b"done")


async def test_a_client_that_resets_a_request_has_it_ended(server: Running) -> None:
    client = await server.client()
    number = client.request(method="POST", ends=False)
    await client.until(lambda: bool(server.application.seen), "the request to run")
    client.h2.reset_stream(number, ErrorCodes.CANCEL)
    client.flush()
    await client.until(lambda: server.application.disconnected == 1, "the application to see it")


async def test_at_the_end_idle_connections_close_and_running_requests_are_answered(server: Running) -> None:
    idle, busy = await server.client(), await server.client()
    assert await idle.response(idle.request()) == (200, b"")
    number = busy.request("/slow")
    await busy.until(lambda: len(server.application.seen) == 2, "the request to run")
    server.host.stopping.set()
    server.host.closed = True
    for one in list(server.host.connections):
        one.close_if_idle()
    await idle.until(lambda: idle.closed and idle.goaway == ErrorCodes.NO_ERROR, "the end")
    assert await busy.reset(busy.request()) == ErrorCodes.REFUSED_STREAM
    server.application.go_on.set()
    assert await busy.response(number) == (200, b"done")
    await busy.until(lambda: busy.closed, "the end")
    assert busy.goaway == ErrorCodes.NO_ERROR
