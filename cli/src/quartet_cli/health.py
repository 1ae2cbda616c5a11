"""Whether a process does its work: one short question to each, in its own protocol."""

import http.client
import json
import socket
from urllib.parse import urlsplit

from quartet_cli.ports import HOST

TIMEOUT = 2.0  # seconds


def http_ready(url: str) -> str | None:
    """None when `url` answers 200, else what it said."""
    try:
        status, body = fetch(url)
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error}"
    return None if status == 200 else f"{url}: {status} {summary(body)}".rstrip()


def http_answers(url: str) -> str | None:
    """None when `url` answers anything at all."""
    try:
        fetch(url)
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error}"
    return None


def fetch(url: str) -> tuple[int, bytes]:
    """Status and body of a GET; OSError or HTTPException when there is no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or HOST, parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        return response.status, response.read(4096)
    finally:
        connection.close()


def summary(body: bytes) -> str:
    """What is down, if the health answer names it, in one line."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    return json.dumps(found)[:300] if isinstance(found, dict) else ""


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
