"""Health checks of processes: one short request in the protocol of each."""

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from quartet_cli.ports import HOST

TIMEOUT = 2.0  # seconds
LONGEST: Final = 1024**2
NO_ANSWER: Final = (OSError, http.client.HTTPException)
"""The exceptions of `fetch` if a process does not answer."""


def http_ready(url: str) -> str | None:
    """None if `url` answers 200, else the problem."""
    try:
        status, body = fetch(url)
    except NO_ANSWER as error:
        return f"{url}: {error}"
    return None if status == 200 else said(body) or f"{url}: {status}"


def http_answers(url: str) -> str | None:
    """None if `url` answers with any status, else the problem."""
    try:
        fetch(url)
    except NO_ANSWER as error:
        return f"{url}: {error}"
    return None


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body, of at most 1 MB, of a GET. Raises one of NO_ANSWER."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or HOST, parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/", headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read(LONGEST)
    finally:
        connection.close()


def said(body: bytes) -> str:
    """The text of a health response: the servers in `down` with their reasons, else the status."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    reasons = next((value for value in found.values() if isinstance(value, dict)), {})
    down = ", ".join(f"{name} {reasons.get(name, 'is down')}" for name in found.get("down", []))
    status = str(found.get("status", ""))
    return f"{status}: {down}" if down and status == "stopping" else down or status


def connects(port: int) -> str | None:
    """None if a server listens on `port`, else the problem."""
    try:
        socket.create_connection((HOST, port), TIMEOUT).close()
    except OSError as error:
        return f"port {port}: {error}"
    return None


def redis_ready(port: int, password: str) -> str | None:
    """None if Redis answers a PING after AUTH (RESP, inline commands), else the problem."""
    answer = _exchange(port, f"AUTH {password}\r\nPING\r\n".encode(), 12)
    return (
        None if answer == b"+OK\r\n+PONG\r\n" else f"port {port}: {answer[:80].decode(errors='replace') or 'no answer'}"
    )


def rabbitmq_ready(port: int) -> str | None:
    """None if RabbitMQ answers the protocol header with Connection.Start (AMQP 0-9-1, 2.2.4), else the problem."""
    answer = _exchange(port, b"AMQP\x00\x00\x09\x01", 1)
    return None if answer == b"\x01" else f"port {port}: no AMQP answer"


def _exchange(port: int, question: bytes, length: int) -> bytes:
    """The answer to `question`, of at most `length` bytes; fewer if the server closes or sends no more."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), TIMEOUT) as connection:
            connection.sendall(question)
            while len(answer) < length and (more := connection.recv(length - len(answer))):
                answer += more
    except OSError:
        return answer
    return answer
