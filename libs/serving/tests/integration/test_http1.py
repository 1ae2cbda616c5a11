"""HTTP/1.1 byte by byte: framing, what is refused, order, limits, slow and vanishing clients, and the end."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import pytest

from quartet_serving import http1_connection as connection
from quartet_serving.http1_connection import Connection, Host
from quartet_serving.request_head import MAX_HEADERS, Head
from quartet_testing.conditions import eventually

Scope = dict[str, Any]
LARGE = 4 * 1024 * 1024
HUGE = 16 * LARGE
SOCKET_BUFFER = 64 * 1024
"""Bytes that the kernel may hold in each direction. Left alone it may take all of LARGE without a reader."""
LEFT = ContextVar("left", default=b"clean")


class Application:
    """An ASGI application with a path for each thing that can happen."""

    def __init__(self) -> None:
        self.seen: list[Scope] = []
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.seen.append(scope)
        self.begun.set()
        await getattr(self, scope["path"].removeprefix("/").partition("/")[0] or "echo")(scope, receive, send)

    async def echo(self, _: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """The body back, with its length."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await answer(send, body)

    async def path(self, scope: Scope, _: Callable[..., Any], send: Callable[..., Any]) -> None:
        """The path back, without a look at the body."""
        await answer(send, scope["raw_path"])

    async def slow(self, scope: Scope, _: Callable[..., Any], send: Callable[..., Any]) -> None:
        await self.go_on.wait()
        await answer(send, scope["raw_path"])

    async def lingers(self, scope: Scope, _: Callable[..., Any], send: Callable[..., Any]) -> None:
        await answer(send, scope["raw_path"])
        await self.go_on.wait()

    async def stream(self, _: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def large(self, _: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _number in range(64):
            await send({"type": "http.response.body", "body": b"x" * (LARGE // 64), "more_body": True})
            self.sent += 1
        await send({"type": "http.response.body"})

    async def huge(self, _: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        """At once, and more than any buffer of the system holds."""
        await answer(send, b"x" * HUGE)

    async def leaves(self, _: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        await answer(send, LEFT.get())
        LEFT.set(b"dirty")

    async def late(self, _: Scope, receive: Callable[..., Any], __: Callable[..., Any]) -> None:
        await self.go_on.wait()
        await receive()

    async def none(self, _: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def waits(self, _: Scope, receive: Callable[..., Any], __: Callable[..., Any]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()

    async def whole(self, scope: Scope, _: Callable[..., Any], __: Callable[..., Any]) -> None:
        exchange = scope["extensions"]["quartet.exchange"]
        assert exchange.take_whole() == b""
        task = asyncio.current_task()
        assert task is not None
        exchange.on_disconnect = task.cancel
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def fails(self, scope: Scope, _: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["query_string"] == b"late":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("the application has a bug")

    async def splits(self, _: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nset-cookie: b")]})

    async def short(self, _: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half"})


async def answer(send: Callable[..., Any], body: bytes) -> None:
    """A whole response."""
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Client:
    """A socket, and the responses that come out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of the next response, read by its Content-Length."""
        first, *lines = (await self.head())[:-4].split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        return int(first.split(b" ")[1]), headers, body

    async def head(self) -> bytes:
        """The head of the next response, with the empty line."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 10)


def small_socket() -> socket.socket:
    """A TCP socket with SOCKET_BUFFER; connections that it accepts inherit that."""
    sock = socket.socket()
    sock.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
    return sock


class Running:
    """A server, and clients for it."""

    def __init__(self, host: Host, application: Application, port: int) -> None:
        self.host = host
        self.application = application
        self.port = port
        self.writers: list[asyncio.StreamWriter] = []

    async def client(self, **options: Any) -> Client:
        """A new connection."""
        sock = small_socket()
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, **options)
        self.writers.append(writer)
        return Client(reader, writer)

    async def ask(self, data: bytes) -> bytes:
        """All that the server sends for `data` before it closes."""
        client = await self.client()
        client.send(data)
        return await client.rest()


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def serve(keep_alive: float = 60.0) -> AsyncIterator[Running]:
    """Connections of our own on a free port."""
    loop = asyncio.get_running_loop()
    application = Application()
    host = Host(application, asyncio.Event(), keep_alive)
    sock = small_socket()
    sock.bind(("127.0.0.1", 0))
    server = await loop.create_server(lambda: Connection(host), sock=sock)
    running = Running(host, application, server.sockets[0].getsockname()[1])
    try:
        yield running
    finally:
        server.close()
        for writer in running.writers:
            writer.close()
        for task in list(host.tasks):
            task.cancel()
        for one in list(host.connections):
            one.abort()
        await eventually(lambda: nothing_left(host), "all connections to end")


async def nothing_left(host: Host) -> bool:
    return not host.connections and not host.tasks


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with serve() as running:
        yield running


def get(path: bytes, *headers: bytes) -> bytes:
    """A request without a body."""
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: quartet", *headers, b"", b""))


def post(body: bytes, *headers: bytes, path: bytes = b"/") -> bytes:
    """A request with a body as it is."""
    return b"\r\n".join((b"POST " + path + b" HTTP/1.1", b"Host: quartet", *headers, b"", body))


# ---- framing of requests ------------------------------------------------------------------------------------------


async def test_a_request_may_come_in_any_pieces(server: Running) -> None:
    sent = post(b"5;x=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n", b"Transfer-Encoding: chunked")
    for size in (1, 2, 3, 7, len(sent)):
        client = await server.client()
        for begin in range(0, len(sent), size):
            client.send(sent[begin : begin + size])
            await asyncio.sleep(0)
        status, _, body = await client.response()
        assert (status, body) == (200, b"hello world")
        names = [name for name, _ in server.application.seen[-1]["headers"]]
        assert names == [b"host", b"transfer-encoding"], "a trailer is no header"


async def test_the_scope_is_what_asgi_says(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/path/a%20b%2Fc?x=%20&y", b"X-Two: a", b"x-two: \xe9"))
    assert (await client.response())[2] == b"/path/a%20b%2Fc"
    [scope] = server.application.seen
    assert scope["type"] == "http"
    assert (scope["method"], scope["scheme"], scope["http_version"]) == ("GET", "http", "1.1")
    assert (scope["path"], scope["query_string"]) == ("/path/a b/c", b"x=%20&y")
    assert scope["headers"] == [(b"host", b"quartet"), (b"x-two", b"a"), (b"x-two", b"\xe9")]
    assert scope["client"] == client.writer.get_extra_info("sockname")
    assert scope["server"] == ("127.0.0.1", server.port)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://a/path/b%20c?x=1", "/path/b c", b"x=1"),
        (b"HTTPS://a.example:8443", "/", b""),
        (b"http://[::1]:80?x=1", "/", b"x=1"),
        (b"http://a/path//http://b/", "/path//http://b/", b""),
        (b"*", "*", b""),
    ],
)
async def test_a_target_in_absolute_form_is_the_path_in_it(
    server: Running, target: bytes, path: str, query: bytes
) -> None:
    await server.ask(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    [scope] = server.application.seen
    assert (scope["path"], scope["query_string"]) == (path, query)


async def test_a_client_that_asks_whether_to_go_on_is_told_when_its_body_is_wanted(server: Running) -> None:
    client = await server.client()
    client.send(post(b"", b"Content-Length: 5", b"Expect: 100-continue"))
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert (await client.response())[2] == b"hello"


async def test_a_client_that_asks_whether_to_go_on_may_be_answered_at_once(server: Running) -> None:
    client = await server.client()
    client.send(post(b"", b"Content-Length: 5", b"Expect: 100-continue", path=b"/path"))
    status, headers, _ = await client.response()
    assert (status, headers[b"connection"]) == (200, b"close")
    assert await client.rest() == b""


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, post(b"abc", b"Content-Length: 3", b"Transfer-Encoding: chunked")),
        (400, post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Content-Length: 3")),
        (400, post(b"abc", b"Content-Length: 3", b"Content-Length: 3")),
        (400, post(b"abc", b"Content-Length: 3", b"Content-Length: 4")),
        (400, post(b"abc", b"Content-Length: 3, 3")),
        (400, post(b"abc", b"Content-Length: +3")),
        (400, post(b"abc", b"Content-Length: -3")),
        (400, post(b"abc", b"Content-Length: 0x3")),
        (400, post(b"abc", b"Content-Length: 99999999999999999999999")),
        (400, post(b"abc", b"Content-Length : 3")),
        (501, post(b"0\r\n\r\n", b"Transfer-Encoding: gzip, chunked")),
        (501, post(b"0\r\n\r\n", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")),
        (400, post(b"0\r\n\r\n", b"Transfer-Encoding: chunked, identity")),
        (501, post(b"abc", b"Transfer-Encoding: identity")),
        (501, post(b"abc", b"Transfer-Encoding: xchunked")),
        (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, post(b"-3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")),
        (400, post(b"3\nabc\n0\n\n", b"Transfer-Encoding: chunked")),
        (400, post(b"3 abc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, get(b"/", b"Host: another")),
        (400, get(b"/", b"Authorization: Bearer a", b"authorization: Bearer a")),
        (400, b"GET / HTTP/1.1\nHost: a\n\n"),
        (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"\r\nGET  / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET / RTSP/1.0\r\nHost: a\r\n\r\n"),
        (400, b"POST  / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"),
        (400, get(b"/", b"X: a", b" folded")),
        (400, get(b"/", b"X: a\0b")),
        (400, get(b"/", b"X: a\rb")),
        (400, get(b"/", b": nameless")),
        (400, get(b"/\xe9")),
        (400, get(b"/\x01")),
        (400, get(b"http://[/")),
        (400, get(b"http://[::1/")),
        (400, get(b"http:///")),
        (400, get(b"http://a@b/")),
        (400, get(b"http://a b/")),
        (400, get(b"ftp://a/")),
        (400, get(b"a:1")),
        (400, get(b"path")),
        (400, get(b"?x")),
        (501, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (501, b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (501, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nabc"),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        (505, b"GET /\r\n\r\n"),
        (431, get(b"/", *(b"X-%d: %b" % (number, b"x" * 1000) for number in range(40)))),
        (431, get(b"/", *(b"X:" for _ in range(MAX_HEADERS)))),  # with Host one too many
        (431, get(b"/" + b"x" * 40_000)),
        (431, get(b"/")[:-2] + b"X: " + b"x" * 70_000),
    ],
)  # fmt: skip
async def test_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(
    server: Running, status: int, sent: bytes
) -> None:
    answered = await server.ask(sent + get(b"/path/smuggled"))
    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answered
    assert b"\r\nconnection: close" in head
    assert b'"status":%d' % status in body
    assert answered.count(b"\r\n\r\n") == 1
    assert "/path/smuggled" not in [scope["path"] for scope in server.application.seen]


async def test_a_head_that_never_ends_is_refused_before_it_fills_the_memory(server: Running) -> None:
    client = await server.client()
    client.send(b"GET / HTTP/1.1\r\nX: ")
    refused = asyncio.ensure_future(client.response())
    while not refused.done():
        client.send(b"x" * 1000)
        await asyncio.sleep(0)
    assert (await refused)[0] == 431


@pytest.mark.parametrize("filler", [b"1;" + b"x" * 1000, b"X: " + b"x" * 1000 + b"\r\n"])
async def test_framing_that_is_mostly_padding_is_refused(server: Running, filler: bytes) -> None:
    client = await server.client()
    begun = b"" if filler.startswith(b"1;") else b"0\r\n"
    client.send(post(begun + filler, b"Transfer-Encoding: chunked"))
    refused = asyncio.ensure_future(client.response())
    while not refused.done():
        client.send(filler.removeprefix(b"1;"))
        await asyncio.sleep(0)
    assert (await refused)[0] == 400


async def test_an_offer_of_another_protocol_is_not_taken_and_hides_no_body(server: Running) -> None:
    client = await server.client()
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    client.send(get(b"/path/one", *offer) + post(b"hello", b"Content-Length: 5", *offer) + get(b"/path/two"))
    answers = [await client.response() for _ in range(3)]
    assert [(status, body) for status, _, body in answers] == [
        (200, b"/path/one"),
        (200, b"hello"),
        (200, b"/path/two"),
    ]


# ---- framing of responses -----------------------------------------------------------------------------------------


async def test_a_response_of_unknown_length_is_chunked(server: Running) -> None:
    answered = await server.ask(get(b"/stream", b"Connection: close"))
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_to_an_old_client_it_ends_with_the_connection(server: Running) -> None:
    answered = await server.ask(b"GET /stream HTTP/1.0\r\n\r\n")
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"connection: close" in head
    assert body == b"onetwo"


@pytest.mark.parametrize("path", [b"/path", b"/stream"])
async def test_head_has_the_head_and_no_body(server: Running, path: bytes) -> None:
    client = await server.client()
    client.send(b"HEAD " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/path/next"))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (b"content-length: 5" in head) == (path == b"/path")
    assert (await client.response())[2] == b"/path/next"


async def test_no_content_has_no_length(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/none") + get(b"/path/next"))
    status, headers, _ = await client.response()
    assert status == 204
    assert b"content-length" not in headers
    assert (await client.response())[2] == b"/path/next"


async def test_every_response_has_the_date_and_no_name_of_a_server(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/path"))
    _, headers, _ = await client.response()
    assert headers[b"date"].endswith(b" GMT")
    assert b"server" not in headers


async def test_a_header_that_would_split_the_response_is_not_sent(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    answered = await server.ask(get(b"/splits"))
    assert answered.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in answered
    assert "the application failed" in caplog.text


# ---- one after the other ------------------------------------------------------------------------------------------


async def test_requests_that_come_at_once_are_answered_in_their_order(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/slow/1") + get(b"/path/2") + post(b"3", b"Content-Length: 1") + get(b"/path/4"))
    await server.application.begun.wait()
    server.application.go_on.set()
    assert [(await client.response())[2] for _ in range(4)] == [b"/slow/1", b"/path/2", b"3", b"/path/4"]


async def test_a_bad_request_behind_good_ones_is_refused_after_they_are_answered(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/slow/1") + get(b"/path/2") + b"no request\r\n\r\n")
    await server.application.begun.wait()
    server.application.go_on.set()
    assert [(await client.response())[0] for _ in range(3)] == [200, 200, 501]
    assert await client.rest() == b""


async def test_the_last_request_of_a_connection_is_answered_though_earlier_ones_run(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/slow/1") + get(b"/path/2", b"Connection: close") + get(b"/path/3"))
    await server.application.begun.wait()
    server.application.go_on.set()
    first, second = await client.response(), await client.response()
    assert b"connection" not in first[1]
    assert (second[2], second[1][b"connection"]) == (b"/path/2", b"close")
    assert await client.rest() == b""


async def test_a_request_that_begins_before_the_one_before_has_quite_ended_is_read_on(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/lingers"))
    await client.response()
    client.send(post(b"", b"Content-Length: 5"))
    [one] = server.host.connections
    await eventually(lambda: waits(one), "the next request to wait")
    server.application.go_on.set()
    await eventually(lambda: has_begun(server, 2), "the next request to begin")
    client.send(b"hello")
    assert (await client.response())[2] == b"hello"


async def waits(one: Connection) -> bool:
    return bool(one._waiting)


async def has_begun(server: Running, number: int) -> bool:
    return len(server.application.seen) == number


async def test_more_requests_than_may_wait_are_to_be_sent_again(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/slow/0") + b"".join(get(b"/path/%d" % number) for number in range(100)))
    await server.application.begun.wait()
    server.application.go_on.set()
    await client.response()
    answers = [await client.response() for _ in range(connection.MAX_WAITING)]
    assert [b"connection" in headers for _, headers, _ in answers] == [False] * (connection.MAX_WAITING - 1) + [True]
    assert await client.rest() == b""


async def test_many_connections_with_many_requests_mix_nothing_up(server: Running) -> None:
    async def one(number: int) -> None:
        client = await server.client()
        for turn in range(50):
            body = b"%d-%d" % (number, turn) * (turn * 40)
            client.send(post(body, b"Content-Length: %d" % len(body)))
            assert (await client.response())[2] == body

    await asyncio.gather(*(one(number) for number in range(20)))


# ---- slow and vanishing clients -----------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_holds_the_application_up(server: Running) -> None:
    client = await server.client(limit=1024)
    client.send(get(b"/large", b"Connection: close"))
    await server.application.begun.wait()
    [one] = server.host.connections
    seen = [-1]

    async def stands_still() -> bool:
        seen.append(server.application.sent)
        return one._can_write is not None and seen[-1] == seen[-2]

    await eventually(stands_still, "a stop of what is sent")
    assert seen[-1] < 64
    assert (await client.rest()).count(b"x") == LARGE


async def test_a_body_that_nobody_takes_is_not_read_into_memory(server: Running) -> None:
    client = await server.client()
    client.send(post(b"", b"Content-Length: %d" % LARGE, path=b"/slow"))
    await server.application.begun.wait()
    client.send(b"x" * LARGE)
    [one] = server.host.connections

    async def stands_still() -> bool:
        return not one._transport.is_reading()

    await eventually(stands_still, "the server to stop reading")
    assert len(one._running._body) < LARGE // 2
    assert client.writer.transport.get_write_buffer_size() > 0
    server.application.go_on.set()
    assert (await client.response())[1][b"connection"] == b"close"


async def test_a_large_body_arrives_whole(server: Running) -> None:
    client = await server.client()
    body = bytes(range(256)) * (LARGE // 256)
    client.send(post(body, b"Content-Length: %d" % len(body)) + get(b"/path/next"))
    assert (await client.response())[2] == body
    assert (await client.response())[2] == b"/path/next"


async def test_a_client_that_goes_is_noticed_by_an_application_that_listens(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/waits"))
    await server.application.begun.wait()
    client.writer.close()
    await asyncio.wait_for(server.application.disconnected.wait(), 10)


async def test_an_application_that_has_taken_the_whole_request_is_cancelled_when_its_client_goes(
    server: Running,
) -> None:
    client = await server.client()
    client.send(get(b"/whole"))
    await server.application.begun.wait()
    client.writer.close()
    await asyncio.wait_for(server.application.cancelled.wait(), 10)


async def test_a_connection_on_which_nothing_happens_is_given_up() -> None:
    async with serve(keep_alive=0.0) as server:
        quiet, begun, running = await server.client(), await server.client(), await server.client()
        begun.send(b"GET / HT")
        running.send(get(b"/slow"))
        await server.application.begun.wait()
        for one in list(server.host.connections):
            one.close_if_late(asyncio.get_running_loop().time() + 1)
        assert await quiet.rest() == b""
        assert await begun.rest() == b""
        server.application.go_on.set()
        assert (await running.response())[0] == 200


# ---- an application that fails ------------------------------------------------------------------------------------


async def test_an_application_that_fails_at_once_is_a_500_that_discloses_nothing(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    answered = await server.ask(get(b"/fails"))
    assert answered.startswith(b"HTTP/1.1 500 ")
    assert b"bug" not in answered
    assert "the application has a bug" in caplog.text


@pytest.mark.parametrize("path", [b"/fails?late", b"/short"])
async def test_a_response_that_breaks_off_is_seen_to_be_broken(
    server: Running, caplog: pytest.LogCaptureFixture, path: bytes
) -> None:
    client = await server.client()
    client.send(get(path))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await client.response()
    assert [record.levelno for record in caplog.records if record.name == connection.__name__] == [logging.ERROR]


# ---- the end ------------------------------------------------------------------------------------------------------


async def test_before_the_end_responses_end_their_connections(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/path"))
    assert b"connection" not in (await client.response())[1]
    server.host.stopping.set()
    client.send(get(b"/path"))
    assert (await client.response())[1][b"connection"] == b"close"
    assert await client.rest() == b""


async def test_at_the_end_idle_connections_close_and_running_requests_are_answered(server: Running) -> None:
    idle, busy = await server.client(), await server.client()
    busy.send(get(b"/slow"))
    await server.application.begun.wait()
    server.host.closed = True
    for one in list(server.host.connections):
        one.close_if_idle()
    assert await idle.rest() == b""
    server.application.go_on.set()
    assert (await busy.response())[1][b"connection"] == b"close"
    assert await busy.rest() == b""


async def test_a_client_that_reads_slowly_is_waited_for_and_one_that_does_not_read_is_not() -> None:
    async with serve(keep_alive=10.0) as server:
        slow, stopped = await server.client(limit=1024), await server.client(limit=1024)
        for one in (slow, stopped):
            one.send(get(b"/huge", b"Connection: close"))
        assert (await slow.head()).startswith(b"HTTP/1.1 200 ")
        assert (await stopped.head()).startswith(b"HTTP/1.1 200 ")
        connections = {one._client: one for one in list(server.host.connections)}
        of_slow = connections[slow.writer.get_extra_info("sockname")]
        of_stopped = connections[stopped.writer.get_extra_info("sockname")]
        await eventually(lambda: no_tasks(server.host), "both are written")
        now = asyncio.get_running_loop().time()
        left = HUGE
        for turn in range(1, 8):  # each later than any deadline
            left -= len(await slow.reader.readexactly(HUGE // 8))
            of_slow.close_if_late(now + turn * 100)
            of_stopped.close_if_late(now + turn * 100)
        assert len(await slow.reader.readexactly(left)) == left
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await stopped.reader.readexactly(HUGE)


async def no_tasks(host: Host) -> bool:
    return not host.tasks


async def test_a_request_behind_another_does_not_begin_with_what_that_one_has_left(server: Running) -> None:
    client = await server.client()
    client.send(get(b"/leaves") + get(b"/leaves"))
    assert [(await client.response())[2] for _ in range(2)] == [b"clean", b"clean"]


async def test_what_fails_while_a_request_is_read_is_a_500_that_is_logged(
    server: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the reader has a bug")

    monkeypatch.setattr(Head, "scope", fail)
    assert (await server.ask(get(b"/path"))).startswith(b"HTTP/1.1 500 ")
    assert "the reader has a bug" in caplog.text


async def test_nobody_is_asked_to_go_on_after_the_end(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    client = await server.client()
    client.send(post(b"", b"Transfer-Encoding: chunked", b"Expect: 100-continue", path=b"/late"))
    await server.application.begun.wait()
    client.send(b"no chunk\r\n")
    assert (await client.response())[0] == 400
    server.application.go_on.set()
    assert await client.rest() == b""
    await eventually(lambda: no_tasks(server.host), "the application is done")
    assert not caplog.records


async def test_a_connection_that_comes_after_the_end_is_closed(server: Running) -> None:
    server.host.closed = True
    client = await server.client()
    with suppress(ConnectionResetError):
        assert await client.rest() == b""
    assert not server.host.connections


# ---- clients that send slowly -------------------------------------------------------------------------------------


async def test_a_head_that_is_not_complete_after_ten_seconds_is_refused_and_an_idle_connection_stays() -> None:
    async with serve(keep_alive=75.0) as server:
        idle, begun = await server.client(), await server.client()
        for one in (idle, begun):
            one.send(get(b"/path"))
            assert (await one.response())[0] == 200
        begun.send(b"GET / HT")
        [late] = [
            one for one in list(server.host.connections) if one._client == begun.writer.get_extra_info("sockname")
        ]
        await eventually(lambda: head_begins(late), "the head to begin")
        now = asyncio.get_running_loop().time()
        for one in list(server.host.connections):
            one.close_if_late(now + 9)
        begun.send(b"TP/1.1\r\nX")  # more of it gives no more time
        await eventually(lambda: head_begins(late, 13), "more of the head")
        for one in list(server.host.connections):
            one.close_if_late(now + 11)
        status, headers, body = await begun.response()
        assert (status, headers[b"connection"]) == (408, b"close")
        assert json.loads(body)["code"] == "request_timeout"
        for seconds in (14, 17, 100):
            late.close_if_late(now + seconds)
        await eventually(lambda: is_forgotten(server, late), "the server to close, although the client does not")
        idle.send(get(b"/path"))
        assert (await idle.response())[0] == 200


async def test_a_client_that_reads_no_response_and_sends_half_a_head_is_given_up() -> None:
    async with serve(keep_alive=5.0) as server:
        client = await server.client(limit=1)
        client.send(get(b"/huge") + b"GET / HT")
        await eventually(lambda: is_answered(server), "the response to be written")
        [one] = server.host.connections
        now = asyncio.get_running_loop().time()
        for seconds in (11, 12, 24, 36):
            one.close_if_late(now + seconds)
        await eventually(lambda: is_forgotten(server, one), "the server to close")


async def is_answered(server: Running) -> bool:
    return bool(server.application.seen) and not server.host.tasks


async def is_forgotten(server: Running, one: Connection) -> bool:
    return one not in server.host.connections


async def head_begins(one: Connection, received: int = 1) -> bool:
    return one._overhead >= received


async def test_a_body_that_arrives_too_slowly_is_refused_and_a_slow_application_is_waited_for() -> None:
    async with serve() as server:
        slow, steady, unread = await server.client(), await server.client(), await server.client()
        slow.send(post(b"x", b"Content-Length: 1000"))
        steady.send(post(b"x" * 50_000, b"Content-Length: 100000"))
        unread.send(post(b"x", b"Content-Length: 1000", path=b"/slow"))
        of = {one._client: one for one in list(server.host.connections)}
        connections = [of[one.writer.get_extra_info("sockname")] for one in (slow, steady, unread)]
        await eventually(lambda: all_wait(connections[:2]), "the bodies to be waited for")
        now = asyncio.get_running_loop().time()
        for one in connections:
            one.close_if_late(now + 9)
        steady.send(b"x" * 49_999)
        await eventually(lambda: has_read(connections[1], 99_000), "the second half")
        for one in connections:
            one.close_if_late(asyncio.get_running_loop().time() + 9.5)
        steady.send(b"x")
        assert (await steady.response())[0] == 200
        connections[0].close_if_late(now + 11)
        assert (await slow.response())[0] == 408
        connections[2].close_if_late(now + 1000)
        server.application.go_on.set()
        assert (await unread.response())[0] == 200


async def all_wait(connections: list[Connection]) -> bool:
    return all(one._running is not None and one._running._waiter is not None for one in connections)


async def has_read(one: Connection, number: int) -> bool:
    return -one._overhead // connection.FRAMING >= number
