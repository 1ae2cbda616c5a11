"""Requests to a server: no proxies and no redirects, which would get the token, and retries where it asks for them."""

import http.client
import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

TIMEOUT: Final = 60.0
ATTEMPTS: Final = 5
MAX_WAIT: Final = 60
"""Seconds to wait at most between two attempts."""
MAX_BODY: Final = 32 * 1024 * 1024
"""Bytes of an answer that is read as a whole: a bundle of entries has at most 256 times 64 KiB."""
BUSY: Final = (429, 502, 503, 504)


class ServerError(Exception):
    """A server that cannot be reached, or that refuses a request."""


@dataclass(frozen=True)
class Server:
    """Where a server is, and the token for it; `ca` is a file with certificates (PEM), None for those of the system."""

    url: str
    token: str | None
    ca: Path | None = None

    def connect(self) -> "Client":
        """A client with a connection of its own. Raises ServerError."""
        return Client(self)


class Client:
    """One connection to a server, opened again after a failure."""

    def __init__(self, server: Server) -> None:
        """Raises ServerError if the URL is none of a server."""
        parts = urlsplit(server.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ServerError(f"{server.url!r} is no URL of a server, such as https://quartet.example")
        self.server = server
        self._path = parts.path.rstrip("/")
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, *, with_token: bool = True) -> tuple[int, bytes]:
        """Status and body of an answer; busy servers are asked again. Raises ServerError."""
        for attempt in range(ATTEMPTS):
            is_last = attempt == ATTEMPTS - 1
            try:
                response = self.open(path, with_token=with_token)
                body = response.read(MAX_BODY + 1)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if is_last:
                    raise ServerError(f"No answer from {self.server.url}: {error}") from error
                time.sleep(attempt)
                continue
            if len(body) > MAX_BODY:
                raise ServerError(f"{path} has more than {MAX_BODY} bytes")
            if response.status not in BUSY or is_last:
                return response.status, body
            time.sleep(_wait(response, attempt))
        raise AssertionError("the last attempt returns or raises")

    def open(self, path: str, *, with_token: bool = True) -> http.client.HTTPResponse:
        """Send a request and read the head of the answer. Raises OSError and HTTPException."""
        if self._connection is None:
            self._connection = self._connect()
        headers = {"Accept-Encoding": "identity", "User-Agent": "quartet-audit-verifier"}
        if with_token and self.server.token:
            headers["Authorization"] = f"Bearer {self.server.token}"
        self._connection.request("GET", self._path + path, headers=headers)
        return self._connection.getresponse()

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        if not self._is_secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        context = ssl.create_default_context(cafile=self.server.ca)
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=context)


def refusal(path: str, status: int, body: bytes) -> ServerError:
    """The error of a refused request, with the server's own words (RFC 9457)."""
    try:
        answer = json.loads(body)
        detail = answer.get("detail", "") if isinstance(answer, dict) else ""
    except ValueError:
        detail = ""
    return ServerError(f"{path.partition('?')[0]} was refused ({status}). {ascii(detail)[1:-1][:300]}".rstrip())


def _wait(response: http.client.HTTPResponse, attempt: int) -> int:
    text = response.headers.get("Retry-After", "")
    return min(int(text), MAX_WAIT) if text.isdecimal() and len(text) < 6 else attempt + 1
