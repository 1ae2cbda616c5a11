"""The end of a server under load: no connection that it has taken is reset, and another process can take over."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from quartet_serving.server import Settings, serve
from quartet_testing.conditions import eventually

REQUEST = b"POST /x HTTP/1.1\r\nHost: quartet\r\nContent-Length: 1\r\n\r\nx"
CLIENTS = 6
PATIENCE = 10.0
RETRANSMISSION = 0.9
"""Seconds after which a client opens a connection once more, less some."""
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(_: object, receive: Callable[[], Awaitable[object]], send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        number: int = found.getsockname()[1]
    return number


class Clients:
    """Threads that send requests, each on a new connection or on one that is kept, until `enough` is set."""

    def __init__(self, port: int, *, keep: bool) -> None:
        self.port = port
        self.keep = keep
        self.enough = threading.Event()
        self.answered = 0
        self.refused = 0
        self.lost: list[str] = []
        self.slowest = 0.0

    def run(self) -> None:
        while not self.enough.is_set():
            begun = time.monotonic()
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            except ConnectionRefusedError:
                self.refused += 1
                self.enough.wait(0.01)
                continue
            self.slowest = max(self.slowest, time.monotonic() - begun)
            with closing(connection):
                try:
                    self.use(connection)
                except OSError as error:
                    self.lost.append(repr(error))

    def use(self, connection: socket.socket) -> None:
        """Send requests until the server says that it closes the connection."""
        kept = True
        while kept and not self.enough.is_set():
            connection.sendall(REQUEST)
            answer = connection.recv(4096)
            if not answer.endswith(b"ok"):
                self.lost.append(repr(answer))
                return
            self.answered += 1
            kept = self.keep and b"connection: close" not in answer

    async def at_least(self, number: int) -> bool:
        return self.answered >= number


@pytest.mark.parametrize("keep", [False, True])
async def test_an_end_under_load_refuses_connections_and_loses_no_request(port: int, keep: bool) -> None:
    clients = Clients(port, keep=keep)
    for _ in range(2):
        await served_until_the_end(port, clients)
        assert clients.lost == []
    assert clients.refused, "the end was seen"


async def served_until_the_end(port: int, clients: Clients) -> None:
    """Start a server, and stop it while `clients` send requests."""
    clients.enough.clear()
    stopping, before = asyncio.Event(), clients.answered
    running = asyncio.ensure_future(serve(app, Settings("127.0.0.1", port, 5.0), stopping))
    with ThreadPoolExecutor(CLIENTS) as pool:
        waiting = [pool.submit(clients.run) for _ in range(CLIENTS)]
        try:
            await eventually(lambda: clients.at_least(before + 200), "requests")
            stopping.set()
            await asyncio.wait_for(running, PATIENCE)
        finally:
            clients.enough.set()
        await asyncio.to_thread(lambda: [one.result() for one in waiting])


async def test_another_server_takes_over_the_port_and_clients_do_not_notice(port: int) -> None:
    settings = Settings("127.0.0.1", port, 5.0, shares_port=True)
    clients = Clients(port, keep=False)
    first_stopping, second_stopping = asyncio.Event(), asyncio.Event()
    first = asyncio.ensure_future(serve(app, settings, first_stopping))
    with ThreadPoolExecutor(CLIENTS) as pool:
        waiting = [pool.submit(clients.run) for _ in range(CLIENTS)]
        try:
            await eventually(lambda: clients.at_least(100), "requests")
            refused = clients.refused
            second = asyncio.ensure_future(serve(app, settings, second_stopping))
            await eventually(lambda: clients.at_least(300), "requests of both")
            first_stopping.set()
            await asyncio.wait_for(first, PATIENCE)
            before = clients.answered
            await eventually(lambda: clients.at_least(before + 100), "requests of the second")
        finally:
            clients.enough.set()
        await asyncio.to_thread(lambda: [one.result() for one in waiting])
    second_stopping.set()
    await asyncio.wait_for(second, PATIENCE)
    assert (clients.lost, clients.refused) == ([], refused)
    assert clients.slowest < RETRANSMISSION, "no connection was dropped"


async def test_a_connection_that_was_just_used_is_kept_until_its_client_closes_it(port: int) -> None:
    stopping = asyncio.Event()
    running = asyncio.ensure_future(serve(app, Settings("127.0.0.1", port, 5.0, idle_at_end=60.0), stopping))

    async def opened() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    await eventually(opened, "the server listens")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    await reader.readuntil(b"ok")
    stopping.set()

    async def closed() -> bool:
        return not await opened()

    await eventually(closed, "the port to be closed")
    writer.write(REQUEST)
    assert b"connection: close" in await reader.readuntil(b"ok")
    await asyncio.wait_for(running, PATIENCE)
    writer.close()


async def test_a_port_is_shared_only_if_both_servers_say_so(port: int) -> None:
    with closing(Settings("127.0.0.1", port, 5.0, shares_port=True).listen()) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            Settings("127.0.0.1", port, 5.0).listen()
