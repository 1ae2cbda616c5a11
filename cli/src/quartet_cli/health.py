"""Whether a process does its work: one short question to each, in its own protocol."""

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
"""What `fetch` raises when a process does not answer."""


def http_ready(url: str) -> str | None:
    """None when `url` answers 200, else what is amiss in words."""
    try:
        status, body = fetch(url)
    except NO_ANSWER as error:
        return f"{url}: {error}"
    return None if status == 200 else said(body) or f"{url}: {status}"


def http_answers(url: str) -> str | None:
    """None when `url` answers anything at all."""
    try:
        fetch(url)
    except NO_ANSWER as error:
        return f"{url}: {error}"
    return None


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body, of at most 1 MB, of a GET; one of NO_ANSWER when there is no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or HOST, parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/", headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read(LONGEST)
    finally:
        connection.close()


def said(body: bytes) -> str:
    """What a health answer says: what is `down`, each with its reason where there is one, or its status."""
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
    """None when something listens on `port`."""
    try:
        socket.create_connection((HOST, port), TIMEOUT).close()
    except OSError as error:
        return f"port {port}: {error}"
    return None


def redis_ready(port: int, password: str) -> str | None:
    """None when Redis answers a PING after AUTH (RESP, inline commands)."""
    answer = _exchange(port, f"AUTH {password}\r\nPING\r\n".encode(), 12)
    return (
        None if answer == b"+OK\r\n+PONG\r\n" else f"port {port}: {answer[:80].decode(errors='replace') or 'no answer'}"
    )


def rabbitmq_ready(port: int) -> str | None:
    """None when RabbitMQ answers the protocol header with a method frame, Connection.Start (AMQP 0-9-1, 2.2.4)."""
    answer = _exchange(port, b"AMQP\x00\x00\x09\x01", 1)
    return None if answer == b"\x01" else f"port {port}: no AMQP answer"


def _exchange(port: int, question: bytes, length: int) -> bytes:
    """Up to `length` bytes that come back for `question`; fewer where the other side closes or is silent."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), TIMEOUT) as connection:
            connection.sendall(question)
            while len(answer) < length and (more := connection.recv(length - len(answer))):
                answer += more
    except OSError:
        return answer
    return answer
