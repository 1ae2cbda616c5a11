"""Receivers of streams for tests: an HTTPS server and a syslog server over TLS, on free loopback ports."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

DROPPED = 0
"""The status of an answer that is lost: the connection is closed instead."""


@dataclass(frozen=True)
class Received:
    """A request: names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[Received], Awaitable[tuple[int, str]]]
"""The status of the answer, and further headers as they stand in it, each with its line end."""


async def accept(_: Received) -> tuple[int, str]:
    """Answer 204 to everything."""
    return 204, ""


class _Server(ABC):
    """Listens between `async with` and its end, with a certificate."""

    def __init__(self, pair: tuple[Path, Path]) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*pair)
        self.port = 0
        self.connections = 0
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""


class HttpReceiver(_Server):
    """An HTTPS server that keeps what it receives; `answer` decides what it answers."""

    def __init__(self, pair: tuple[Path, Path], answer: Answer = accept) -> None:
        super().__init__(pair)
        self.answer = answer
        self.received: list[Received] = []

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """The address of a path of the server."""
        return f"https://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            received = Received(head[0].split(" ")[1], headers, body)
            self.received.append(received)
            status, more = await self.answer(received)
            if status == DROPPED:
                return
            writer.write(f"HTTP/1.1 {status} Answer\r\n{more}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()


class SyslogReceiver(_Server):
    """A syslog server (RFC 5425) that keeps the messages of each connection; `resets` has it refuse the next ones."""

    def __init__(self, pair: tuple[Path, Path]) -> None:
        super().__init__(pair)
        self.messages: list[bytes] = []
        self.resets = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.resets:
            self.resets -= 1
            writer.transport.abort()
            return
        while not reader.at_eof():
            try:
                length = await reader.readuntil(b" ")
            except asyncio.IncompleteReadError:
                return
            assert length[:1] in b"123456789", "RFC 5425: MSG-LEN has no leading zero"
            self.messages.append(await reader.readexactly(int(length)))
