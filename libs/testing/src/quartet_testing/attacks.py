"""Attacks: what an attacker sends where an HTTP client is too polite, and what is asked of the answers."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_bytes
from typing import Any

import httpx

from quartet_testing.client import TIMEOUT

Recorded = Callable[[str, str, dict[str, int]], Awaitable[None]]
"""`await recorded(service, address, {reason: count})`: waits until the audit log says just that of `address`."""

TELLTALE = ("Traceback", 'File "', "asyncpg", "PostgreSQL", "psycopg", "hypercorn", "nginx/", "python")
"""What no answer to an attacker says: how it was made, and with what."""
PACKAGES = re.compile(
    r"quartet_(audit|cli|common|directory_formats|metrics|scim|scim_http|serving|testing)\b|quartet_\w+[./@:]"
)
"""Packages, modules, and roles in URLs; metrics such as quartet_users are public."""


@dataclass(frozen=True)
class Stranger:
    """Somebody without a token, at an address that nobody else has: what the log says of it is one test's own."""

    address: str
    http: httpx.AsyncClient


@dataclass(frozen=True)
class RawAnswer:
    """One response as it came over the wire; `status` is 0 where nothing came."""

    status: int
    headers: dict[str, str]
    body: bytes


@asynccontextmanager
async def somewhere(url: str) -> AsyncIterator[Stranger]:
    """Somebody at an address that nobody has used before."""
    address = f"127.{'.'.join(str(1 + byte % 254) for byte in token_bytes(3))}"
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=TIMEOUT) as client:
        yield Stranger(address, client)


async def exchange(port: int, sent: bytes, *, host: str = "127.0.0.1", timeout: float = 10.0) -> list[RawAnswer]:
    """Send bytes as they are on a connection of their own; every response until the server closes.

    What is sent should have the connection end: raises TimeoutError where it stays open.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(sent)
            return answers(await _until_closed(reader))
        finally:
            writer.close()


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    received = b""
    try:
        while piece := await reader.read(65536):
            received += piece
    except ConnectionResetError:  # it need not read what it has refused
        pass
    return received


def answers(received: bytes) -> list[RawAnswer]:
    """The responses in `received`, one after the other."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body, received = _body(headers, rest)
        status = first.split(" ")[1] if first.startswith("HTTP/1.") else "0"
        found.append(RawAnswer(int(status), headers, body))
    return found


def _body(headers: dict[str, str], rest: bytes) -> tuple[bytes, bytes]:
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size or b"0", 16)
            body, rest = body + rest[:length], rest[length + 2 :]
            if length == 0:
                return body, rest
    length = int(headers.get("content-length", len(rest)))
    return rest[:length], rest[length:]


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """A request that ends its connection, with the headers as they are given."""
    lines = [f"{method} {target} HTTP/1.1", "Host: directory.example.com", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin1") + body


def says_nothing(text: str) -> None:
    """Asserts that an answer does not tell how the service is made."""
    published = [word for word in TELLTALE if word.lower() in text.lower()]
    published += [found[0] for found in PACKAGES.finditer(text)]
    assert not published, f"{published} in {text[:500]}"


def essence(answer: httpx.Response) -> dict[str, Any]:
    """What of an answer has to be the same for everybody who is refused: all but the time and the request's id."""
    varying = ("date", "x-request-id", "ratelimit", "ratelimit-policy")
    headers = {name: value for name, value in answer.headers.items() if name not in varying}
    return {"status": answer.status_code, "headers": headers, "body": answer.text}
