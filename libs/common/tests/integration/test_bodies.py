"""Bodies and responses over a real connection: what is refused unread, and what tenants share of the memory."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from quart import Response, request

from quartet_common.core.errors import ServiceError, problem
from quartet_common.core.fair_share import HOLDER, FairShare, ShareExceededError, address_holder
from quartet_common.limits.limiter import address_key
from quartet_common.web.bodies import ANY_SIZE, SMALL_BODY, takes
from quartet_common.web.memory import LARGE_REQUEST
from quartet_common.web.service_app import ServiceApp
from quartet_common.web.service_request import BODY_WEIGHT, BYTES_IN_FLIGHT, FREE_BYTES, hold_bytes
from quartet_serving.http1_connection import Connection, Host
from quartet_testing.conditions import eventually

MIB = 1024 * 1024
PAGE = b"x" * (5 * MIB)
SHARE = 9 * MIB


class Server:
    """An app on a free port whose views wait for `go_on`, and count those that have begun."""

    def __init__(self) -> None:
        self.share = FairShare("bytes in flight", 2 * SHARE, SHARE, queue=1, timeout=30)
        self.go_on = asyncio.Event()
        self.begun = 0
        self.app = ServiceApp("test", stopping=asyncio.Event())
        self.app.config["MAX_CONTENT_LENGTH"] = 8 * MIB
        self.app.extensions[BYTES_IN_FLIGHT] = self.share
        self.app.before_request(identify)
        self.app.register_error_handler(ServiceError, answer_error)
        self.app.add_url_rule("/small", "small", self.length, methods=["POST"])
        self.app.add_url_rule("/large", "large", self.large, methods=["POST"])
        self.app.add_url_rule("/dense", "dense", self.dense, methods=["POST"])
        self.app.add_url_rule("/page", "page", self.page, methods=["GET", "POST"])
        self.app.add_url_rule("/free", "free", self.free)
        self.port = 0

    async def length(self) -> str:
        return str(len(await request.get_data()))

    @takes(ANY_SIZE)
    async def large(self) -> str:
        size = len(await request.get_data(cache=False))
        self.begun += 1
        await self.go_on.wait()
        return str(size)

    @takes(ANY_SIZE)
    async def dense(self) -> str:
        """Its body takes a MiB more in memory than is usual."""
        size = await self.large()
        await hold_bytes((BODY_WEIGHT + 1) * MIB, at_once=True)
        return size

    async def page(self) -> Response:
        return Response(PAGE)

    async def free(self) -> Response:
        return Response(b"x" * FREE_BYTES)

    async def send(self, head: bytes, body: bytes = b"", tenant: bytes = b"acme") -> "Client":
        """A new connection with a request on it."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)  # else the kernel may take a whole page
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=2**16)
        writer.write(head + b" HTTP/1.1\r\nHost: quartet\r\nTenant: " + tenant + b"\r\n")
        return Client(reader, writer, body)

    async def post(self, path: bytes, size: int, tenant: bytes = b"acme") -> "Client":
        """A POST of `size` bytes."""
        client = await self.send(b"POST " + path, b"x" * size, tenant)
        client.finish(b"Content-Length: %d\r\n" % size)
        return client

    async def get(self, path: bytes, tenant: bytes = b"acme") -> "Client":
        client = await self.send(b"GET " + path, tenant=tenant)
        client.finish(b"")
        return client


class Client:
    """A connection with a request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        self.reader = reader
        self.writer = writer
        self.body = body

    def finish(self, headers: bytes) -> None:
        self.writer.write(headers + b"\r\n" + self.body)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the response."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        fields = dict(line.lower().split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
        body = await asyncio.wait_for(self.reader.readexactly(int(fields[b"content-length"])), 20)
        self.writer.close()
        return int(head.split(b" ")[1]), body


async def identify() -> None:
    HOLDER.set(request.headers["Tenant"])


async def answer_error(error: ServiceError) -> Response:
    return Response(problem(error.status, error.code, error.detail, ""), error.status)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    host = Host(running.app, asyncio.Event(), 60.0)
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(host), "127.0.0.1", 0)
    running.port = listening.sockets[0].getsockname()[1]
    async with running.app.test_app():
        yield running
    listening.close()
    for one in list(host.connections):
        one.abort()
    await eventually(lambda: is_empty(host, running.share), "all requests to end, and to hold nothing")


async def is_empty(host: Host, share: FairShare) -> bool:
    return not host.connections and not host.tasks and not share.used and not share.holders


@pytest.mark.parametrize("size", [SMALL_BODY + 1, 8 * MIB])
async def test_a_body_that_its_head_says_is_too_large_is_refused_though_none_of_it_has_come(
    server: Server, size: int
) -> None:
    client = await server.send(b"POST /small")
    client.finish(b"Content-Length: %d\r\n" % size)
    status, body = await client.answer()
    assert (status, b"request_entity_too_large" in body, b"16384 bytes" in body) == (413, True, True)


async def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(server: Server) -> None:
    client = await server.send(b"POST /small", b"%x\r\n%b\r\n" % (SMALL_BODY + 1, b"x" * (SMALL_BODY + 1)))
    client.finish(b"Transfer-Encoding: chunked\r\n")  # it never ends
    assert (await client.answer())[0] == 413


@pytest.mark.parametrize("size", [0, 1, SMALL_BODY])
async def test_a_body_that_is_no_larger_is_taken(server: Server, size: int) -> None:
    assert await (await server.post(b"/small", size)).answer() == (200, b"%d" % size)


async def test_the_whole_process_has_a_limit_too(server: Server) -> None:
    client = await server.send(b"POST /large")
    client.finish(b"Content-Length: %d\r\n" % (8 * MIB + 1))
    assert (await client.answer())[0] == 413


async def test_a_large_body_waits_for_the_share_of_its_tenant_and_for_nobody_else(server: Server) -> None:
    first = await server.post(b"/large", MIB)
    await eventually(lambda: holds(server, BODY_WEIGHT * MIB, begun=1), "the first body to be read")
    second = await server.post(b"/large", MIB)
    await eventually(lambda: waits(server), "the second body to wait")
    third = await server.post(b"/large", MIB)
    status, body = await third.answer()
    assert (status, b"share_exceeded" in body) == (429, True)
    other = await server.post(b"/large", MIB, b"globex")
    await eventually(lambda: holds(server, 2 * BODY_WEIGHT * MIB, begun=2), "the body of another tenant to be read")
    server.go_on.set()
    for client in (first, second, other):
        assert await client.answer() == (200, b"%d" % MIB)


async def test_a_dense_body_is_charged_the_rest_at_once_although_another_of_its_tenant_waits(server: Server) -> None:
    first = await server.post(b"/dense", MIB)
    await eventually(lambda: holds(server, BODY_WEIGHT * MIB, begun=1), "the first body to be read")
    second = await server.post(b"/dense", MIB)
    await eventually(lambda: waits(server), "the second body to wait")
    server.go_on.set()
    for client in (first, second):
        assert await client.answer() == (200, b"%d" % MIB)


async def test_a_dense_body_that_does_not_fit_beside_others_of_its_tenant_is_refused_at_once(server: Server) -> None:
    first = await server.post(b"/dense", MIB)
    await eventually(lambda: holds(server, BODY_WEIGHT * MIB, begun=1), "the first body to be read")
    other = server.share.take("acme", MIB + 1)
    server.go_on.set()
    status, body = await first.answer()
    assert (status, b"share_exceeded" in body) == (429, True)
    server.share.release("acme", other)


async def test_a_request_that_waits_for_more_holds_nothing_meanwhile(server: Server) -> None:
    """Two of one tenant that each hold a part and need a whole share would wait for each other."""

    @server.app.get("/two-passes")
    async def two_passes() -> str:
        await hold_bytes(SHARE // 2)
        server.begun += 1
        await server.go_on.wait()
        await hold_bytes(SHARE)
        return "done"

    clients = [await server.get(b"/two-passes") for _ in range(2)]
    await eventually(lambda: holds(server, SHARE // 2 * 2, begun=2), "both to hold half of the share")
    server.go_on.set()
    for client in clients:
        assert await client.answer() == (200, b"done")


async def test_a_body_of_unknown_length_is_charged_what_its_route_allows(server: Server) -> None:
    client = await server.send(b"POST /large", b"5\r\nhello\r\n")
    client.finish(b"Transfer-Encoding: chunked\r\n")
    await eventually(lambda: holds(server, SHARE), "the body to take a whole share")
    client.writer.write(b"0\r\n\r\n")
    server.go_on.set()
    assert await client.answer() == (200, b"5")


async def test_a_large_response_is_charged_until_its_client_has_read_it(server: Server) -> None:
    slow = await server.get(b"/page")
    await eventually(lambda: holds(server, len(PAGE)), "the page to be sent")
    second = await server.get(b"/page")
    await eventually(lambda: waits(server), "the second page to wait")
    assert (await (await server.get(b"/page", b"globex")).answer())[0] == 200
    assert (await (await server.get(b"/free")).answer())[0] == 200
    assert await slow.answer() == (200, PAGE)
    assert await second.answer() == (200, PAGE)


async def test_what_a_write_has_done_is_answered_however_much_is_in_flight(server: Server) -> None:
    slow = await server.get(b"/page")
    await eventually(lambda: holds(server, len(PAGE)), "the page to be sent")
    assert await (await server.post(b"/page", 0)).answer() == (200, PAGE)
    assert await slow.answer() == (200, PAGE)


async def test_a_client_that_goes_gives_back_what_its_request_held(server: Server) -> None:
    client = await server.get(b"/page")
    await eventually(lambda: holds(server, len(PAGE)), "the page to be sent")
    body = await server.post(b"/large", MIB, b"globex")
    await eventually(lambda: holds(server, len(PAGE) + BODY_WEIGHT * MIB, begun=1), "the body to be read")
    client.writer.transport.abort()
    body.writer.transport.abort()
    await eventually(lambda: holds(server, BODY_WEIGHT * MIB, begun=1), "the bytes of the page to be released")
    server.go_on.set()  # a write that has arrived is finished although its client has disconnected
    await eventually(lambda: holds(server, 0, begun=1), "the bytes of both to be released")


@pytest.mark.parametrize(("held", "counted"), [(LARGE_REQUEST, 0), (LARGE_REQUEST + 1, 1)])
async def test_only_requests_above_4_mib_cause_a_collection(server: Server, held: int, counted: int) -> None:
    @server.app.get("/list")
    async def some_list() -> str:
        await hold_bytes(held)
        return "done"

    assert (await (await server.get(b"/list")).answer()) == (200, b"done")
    await eventually(lambda: holds(server, 0), "the request to end")
    assert server.app.memory.requests == counted


async def test_bytes_are_held_by_the_holder_that_the_guard_has_set(server: Server) -> None:
    """So all addresses of an IPv6 /64 are one holder."""

    @server.app.post("/anonymous")
    @takes(ANY_SIZE)
    async def anonymous() -> str:
        HOLDER.set(address_holder(address_key("2001:db8::1")))
        await server.large()
        return "done"

    client = await server.post(b"/anonymous", MIB)
    await eventually(lambda: holds(server, BODY_WEIGHT * MIB, begun=1), "the body to be read")
    with pytest.raises(ShareExceededError):
        server.share.take(address_holder(address_key("2001:db8::2")), SHARE)
    server.go_on.set()
    assert await client.answer() == (200, b"done")


async def test_what_is_small_is_not_charged(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> int:
        pytest.fail("it was charged")

    monkeypatch.setattr(server.share, "acquire", refuse)
    server.go_on.set()
    assert (await (await server.post(b"/large", FREE_BYTES)).answer())[0] == 200
    assert (await (await server.get(b"/free")).answer())[0] == 200


async def holds(server: Server, amount: int, begun: int = 0) -> bool:
    return server.share.used == amount and server.begun >= begun


async def waits(server: Server) -> bool:
    return server.share.waiting == 1
