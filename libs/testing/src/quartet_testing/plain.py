"""A plain HTTP/1.1 client for measurements: one connection, no more than what a question needs, some 50 us each."""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class PlainClient:
    """Asks one question at a time on a connection that stays open; answers must say their Content-Length."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._headers = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of the answer."""
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._headers}\r\n".encode())

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a JSON body."""
        return await self.send("POST", path, body)

    async def send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The same by any method."""
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Type: application/json\r\nContent-Length: {len(body)}"
        )
        return await self._ask(f"{head}\r\n\r\n".encode() + body)

    async def _ask(self, message: bytes) -> tuple[int, bytes]:
        self._writer.write(message)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self._reader.readexactly(length)
