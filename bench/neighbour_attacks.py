"""The attacks of neighbours.py: what one tenant, or a client without a token, sends to make others wait.

Run by neighbours.py in a process of its own: `neighbour_attacks.py NAME URL TOKEN SECONDS` sends until SECONDS have
passed and prints a JSON object of how many answers had which status ("closed": the connection ended without one,
"open": it was still open at the end).
"""

import asyncio
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

JSON_TYPE, SCIM_TYPE, FORM_TYPE = "application/json", "application/scim+json", "application/x-www-form-urlencoded"
USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
SEARCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
STRANGER = "127.9.9.9"
"""The address of clients without a token, so that limits by address concern only them."""
ANSWER_TIMEOUT = 60.0
names = count()


@dataclass
class Target:
    """Where to send, as whom, until when (by time.monotonic), and what the answers were."""

    url: str
    token: str
    until: float
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.until

    def request(self, method: str, path: str, body: bytes = b"", kind: str = "", *, authorized: bool = True) -> bytes:
        """The bytes of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}"]
        lines += [f"Authorization: Bearer {self.token}"] if authorized else []
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"] if kind else []
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def connect(self, *, stranger: bool = False, buffer: int = 0) -> "Client":
        """A new connection; `buffer` is the size of its receive buffer in bytes, 0 for the system's default."""
        sock = socket.socket()
        sock.setblocking(False)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        if stranger:
            sock.bind((STRANGER, 0))
        parts = urlsplit(self.url)
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
        return Client(*await asyncio.open_connection(sock=sock, limit=max(buffer, 2**16)))


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_answer(self) -> str:
        """The status of the next answer; its body is read and dropped. Raises OSError, EOFError."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length:" in head:
            await self.reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        elif b"chunked" in head:
            while size := int((await self.reader.readline()).partition(b";")[0], 16):
                await self.reader.readexactly(size + 2)
            await self.reader.readline()
        return head[9:12].decode()


async def repeat(target: Target, make: Callable[[], bytes], clients: int, *, stranger: bool = False) -> None:
    """Send requests one after the other on each of `clients` connections; a connection that ends is opened again."""

    async def one() -> None:
        while not target.is_over:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    client = await target.connect(stranger=stranger)
            except (OSError, TimeoutError):
                target.answers["closed"] += 1
                await asyncio.sleep(0.05)
                continue
            await use(client)

    async def use(client: Client) -> None:
        try:
            while not target.is_over:
                client.writer.write(make())
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    target.answers[await client.read_answer()] += 1
        except (OSError, EOFError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            target.answers["closed"] += 1
            await asyncio.sleep(0.01)
        finally:
            client.writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


async def hang(target: Target, request: bytes, clients: int, *, stranger: bool = False, rate: int = 0) -> None:
    """Send `request` on each connection and read `rate` bytes a second of the answers, 0 for none."""

    async def one() -> None:
        while not target.is_over:
            try:
                client = await target.connect(stranger=stranger, buffer=4096)
            except OSError:
                target.answers["closed"] += 1
                await asyncio.sleep(0.1)
                continue
            try:
                client.writer.write(request)
                await read_slowly(client)
            finally:
                client.writer.transport.abort()

    async def read_slowly(client: Client) -> None:
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(max(0.0, target.until - time.monotonic())):
                first = await client.reader.read(12)
                target.answers[first[9:12].decode() or "closed"] += 1
                while not rate or await client.reader.read(rate):  # noqa: ASYNC110  # the pace of the reader
                    await asyncio.sleep(1)
                return
        target.answers["open"] += 1

    await asyncio.gather(*(one() for _ in range(clients)))


def new_user(**more: object) -> bytes:
    """The body of a POST of a user whose name nobody has."""
    name = f"attack-{time.time_ns()}-{next(names)}"
    return json.dumps({"schemas": [USER_SCHEMA], "userName": name, **more}).encode()


async def exports(target: Target) -> None:
    """A1: twelve clients that read an export of 29 MB at 1 kB/s."""
    await hang(target, target.request("GET", "/users/data/export"), 12, rate=1024)


async def searches(target: Target) -> None:
    """A2: twelve connections that run a filter of 99 comparisons over 3,000 users."""
    text = " or ".join(f'nickName co "{number}x"' for number in range(99))
    path = f"/scim/v2/Users?{urlencode({'filter': text})}"
    await repeat(target, lambda: target.request("GET", path), 12)


async def passwords(target: Target) -> None:
    """A3: sixteen connections that create users with passwords, and two that send Bulks of them."""
    secret = "staple battery correct horse 29"  # noqa: S105  # nosec B105  # of users that are made for this

    def bulk() -> bytes:
        operations = [
            {"method": "POST", "path": "/Users", "bulkId": str(n), "data": json.loads(new_user(password=secret))}
            for n in range(250)
        ]
        schema = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
        body = json.dumps({"schemas": [schema], "Operations": operations}).encode()
        return target.request("POST", "/scim/v2/Bulk", body, SCIM_TYPE)

    def one() -> bytes:
        return target.request("POST", "/scim/v2/Users", new_user(password=secret), SCIM_TYPE)

    await asyncio.gather(repeat(target, one, 120), repeat(target, bulk, 2))


async def writes(target: Target) -> None:
    """A4: 64 connections that create users without pause."""
    await repeat(target, lambda: target.request("POST", "/scim/v2/Users", new_user(), SCIM_TYPE), 64)


async def large_pages(target: Target) -> None:
    """A5: seven clients that do not read the pages of 200 large users that they ask for."""
    await hang(target, target.request("GET", "/scim/v2/Users?count=200&filter=userType%20eq%20%22large%22"), 7)


async def unknown_keys(target: Target) -> None:
    """A5: eight bodies at a time of 6.6 MB with 600,000 unknown keys."""
    body = new_user()[:-1] + b"," + b",".join(b'"k%06d":1' % n for n in range(600_000)) + b"}"
    await repeat(target, lambda: target.request("POST", "/scim/v2/Users", body, SCIM_TYPE), 8)


async def many_attributes(target: Target) -> None:
    """A6: SearchRequests with 600,000 attributes."""
    body = json.dumps({"schemas": [SEARCH_SCHEMA], "attributes": ["nickName"] * 600_000}).encode()
    await repeat(target, lambda: target.request("POST", "/scim/v2/Users/.search", body, SCIM_TYPE), 4)


async def long_filter(target: Target) -> None:
    """A6: SearchRequests with a filter of 7 MB."""
    body = json.dumps({"schemas": [SEARCH_SCHEMA], "filter": "urn:a:b " * 900_000}).encode()
    await repeat(target, lambda: target.request("POST", "/scim/v2/Users/.search", body, SCIM_TYPE), 4)


async def openapi(target: Target) -> None:
    """B1: OpenAPI documents, 25 requests at a time on each of four connections, without a token."""
    requests = target.request("GET", "/users/openapi.json", authorized=False) * 25

    async def one() -> None:
        while not target.is_over:
            client = None
            with suppress(OSError, EOFError, ValueError):
                client = await target.connect(stranger=True)
                client.writer.write(requests)
                for _ in range(25):
                    target.answers[await client.read_answer()] += 1
            if client is None:
                target.answers["closed"] += 1
                await asyncio.sleep(0.05)
            else:
                client.writer.close()

    tasks = [asyncio.create_task(one()) for _ in range(4)]
    await asyncio.wait(tasks, timeout=max(0.0, target.until - time.monotonic()))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def large_logins(target: Target) -> None:
    """B2: thirty bodies of 8 MB at a time to the login, without a token."""
    request = target.request("POST", "/users/login", b" " * (8 * 2**20 - 2) + b"{}", JSON_TYPE, authorized=False)
    await repeat(target, lambda: request, 30, stranger=True)


async def percent_forms(target: Target) -> None:
    """B3: token requests of 65,000 percent signs, without a token."""
    request = target.request("POST", "/oauth2/token", b"%" * 65_000, FORM_TYPE, authorized=False)
    await repeat(target, lambda: request, 4, stranger=True)


async def incomplete_heads(target: Target) -> None:
    """B4: 300 connections whose request heads never end."""
    await hang(target, b"GET /users/health/live HTTP/1.1\r\nHost: a\r\n", 300, stranger=True)


ATTACKS: dict[str, Callable[[Target], Coroutine[Any, Any, None]]] = {
    attack.__name__: attack
    for attack in (
        exports, searches, passwords, writes, large_pages, unknown_keys, many_attributes, long_filter, openapi,
        large_logins, percent_forms, incomplete_heads,
    )
}  # fmt: skip


def main() -> None:
    """Run one attack."""
    name, url, token, seconds = sys.argv[1:]
    target = Target(url, token, time.monotonic() + float(seconds))
    asyncio.run(ATTACKS[name](target))
    print(json.dumps(target.answers))


if __name__ == "__main__":
    main()
