"""Sends batches of entries to destinations: webhooks, Splunk, syslog receivers and files."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpcore

from quartet_audit.config import AuditConfig
from quartet_audit.streams.stream_address_domain import RefusedAddressError
from quartet_audit.streams.stream_domain import DeliveryError, File, Splunk, Stream, Syslog, Webhook, check_status
from quartet_audit.streams.stream_message_domain import (
    BatchEntry,
    Render,
    file_lines,
    message_id,
    renderer,
    splunk_body,
    syslog_frames,
    webhook_body,
    webhook_headers,
)
from quartet_audit.streams.stream_network import CONNECT_TIMEOUT, CheckedBackend, Resolver, tls_context
from quartet_common.core.clock import Clock

TIMEOUT = 20.0
"""Seconds for a batch, from the connection to the end of the answer."""
MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read; a connection with more is closed."""
IDLE = 30.0
"""Seconds after which an unused connection is closed."""
TIMEOUTS = {"connect": CONNECT_TIMEOUT, "read": TIMEOUT, "write": TIMEOUT, "pool": TIMEOUT}
NETWORK_ERRORS = (
    *(OSError, anyio.BrokenResourceError, anyio.EndOfStream),
    *(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException),
)

Headers = list[tuple[bytes, bytes]]


class Senders:
    """What a worker sends with; connections to HTTPS destinations are kept for a while."""

    def __init__(self, config: AuditConfig, clock: Clock, connections: int) -> None:
        self._resolver = Resolver(config.stream_networks)
        self._tls = tls_context(config)
        self._folder = config.stream_dir
        self._public_url = config.public_url
        self._host = urlsplit(config.public_url).hostname or "-"
        self._clock = clock
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=connections,
            keepalive_expiry=IDLE,
            network_backend=CheckedBackend(self._resolver),
        )

    async def send(self, stream: Stream, secrets: Sequence[str], entries: Sequence[BatchEntry]) -> None:
        """Have the destination of `stream` take `entries`; the first of `secrets` is the present one.

        Raises DeliveryError.
        """
        destination, render = stream.destination, renderer(stream.format, self._public_url)
        try:
            async with asyncio.timeout(TIMEOUT):
                if isinstance(destination, Webhook):
                    await self._send_webhook(destination, stream, secrets, entries, render)
                elif isinstance(destination, Splunk):
                    body = splunk_body(destination, entries, render, self._host)
                    await self._post(destination.url, [(b"authorization", f"Splunk {secrets[0]}".encode())], body)
                elif isinstance(destination, Syslog):
                    await self._send_syslog(destination, syslog_frames(entries, render, self._host))
                else:
                    await asyncio.to_thread(self._append, destination, stream.tenant, file_lines(entries, render))
        except RefusedAddressError as error:
            raise DeliveryError(str(error), is_final=True) from error
        except TimeoutError as error:
            raise DeliveryError("the destination does not answer in time") from error
        except NETWORK_ERRORS as error:
            raise DeliveryError(f"the destination cannot be reached: {_described(error)}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _send_webhook(
        self,
        destination: Webhook,
        stream: Stream,
        secrets: Sequence[str],
        entries: Sequence[BatchEntry],
        render: Render,
    ) -> None:
        now = self._clock()
        body = webhook_body(stream.id, entries, render, now)
        await self._post(destination.url, webhook_headers(secrets, message_id(stream, entries), now, body), body)

    async def _post(self, url: str, headers: Headers, body: bytes) -> None:
        """POST `body` and read the beginning of the answer. Raises DeliveryError and what httpcore raises."""
        headers = [*headers, (b"host", urlsplit(url).netloc.encode()), (b"user-agent", b"quartet-audit")]
        headers += [(b"content-length", str(len(body)).encode())]
        asked = self._pool.stream("POST", url, headers=headers, content=body, extensions={"timeout": TIMEOUTS})
        async with asked as response:
            left = MAX_ANSWER
            async for part in response.aiter_stream():
                left -= len(part)
                if left < 0:
                    break
            retry_after = dict(response.headers).get(b"Retry-After") or dict(response.headers).get(b"retry-after")
            check_status(response.status, None if retry_after is None else retry_after.decode("latin-1"))

    async def _send_syslog(self, destination: Syslog, frames: bytes) -> None:
        """A connection for each batch. Syslog has no acknowledgement, but a receiver must answer the end of a
        connection by a close_notify (RFC 5425 section 4.4): it has taken what came before.
        """
        host, port = destination.target
        address, *_ = await self._resolver.resolve(host, port)
        async with asyncio.timeout(CONNECT_TIMEOUT):  # asyncio's own TLS does not tell whether close_notify has come
            connection = await anyio.connect_tcp(address, port, ssl_context=self._tls, tls_hostname=host)
        try:
            await connection.send(frames)
            await connection.unwrap()
        finally:
            await anyio.aclose_forcefully(connection)

    def _append(self, destination: File, tenant: str, lines: bytes) -> None:
        """Append `lines`, and have them on disk. What is written only in part is taken back. Raises OSError."""
        if self._folder is None:
            raise DeliveryError("files are off: the operator has set no QUARTET_STREAM_DIR", is_final=True)
        folder = Path(self._folder, tenant)
        folder.mkdir(mode=0o750, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(folder / destination.name, flags, 0o640), "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # the end of a line that a crash has cut
                    lines = b"\n" + lines
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise


def _described(error: Exception) -> str:
    """The type of an error, and its text if it has one."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
