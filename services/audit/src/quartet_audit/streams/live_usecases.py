"""Use case of live tails: the entries of a log as they are appended, as Server-Sent Events, until the token ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_domain import Search
from quartet_audit.streams.stream_reading import read_batch
from quartet_common.core.errors import UnauthorizedError
from quartet_common.core.fair_share import FairShare
from quartet_common.runtime.container import AppContainer

Container = AppContainer[AuditConfig]

TAILS, TAILS_OF_TENANT = 100, 10
"""Live tails at a time: of a process, and of one tenant."""
INTERVAL = 0.5
"""Seconds between two looks for new entries."""
HEARTBEAT = 15.0
"""Seconds without an entry after which a comment is sent: proxies end connections on which nothing is sent."""

CheckToken = Callable[[], Awaitable[object]]
"""Raises UnauthorizedError once the token is not valid any more."""


def share_of_tails() -> FairShare:
    """The share of a tenant in the live tails of a process."""
    return FairShare("live tails", TAILS, TAILS_OF_TENANT, queue=0, timeout=1)


async def follow(
    container: Container, tenant: str, search: Search, position: int, check_token: CheckToken
) -> AsyncGenerator[bytes, None]:
    """The entries from `position` on that `search` finds; each `id:` is a sequence (HTML Living Standard section 9.2).

    No connection of the database is held while the client reads. The last event, `end`, says why it is the last one.
    """
    shown = position
    last = time.monotonic()
    yield b": the log from %d\n\n" % position
    while not container.stopping.is_set():
        try:
            await check_token()
        except UnauthorizedError as error:
            yield b'event: end\ndata: {"reason":"%b"}\n\n' % error.code.encode()
            return
        batch = await read_batch(container, tenant, search, position)
        position = batch.end
        if batch.entries:
            yield b"".join(b"id: %d\ndata: %b\n\n" % (entry.sequence, entry.json) for entry in batch.entries)
            shown, last = batch.entries[-1].sequence + 1, time.monotonic()
        elif time.monotonic() - last >= HEARTBEAT:
            yield b"%b: heartbeat\n\n" % (b"id: %d\n" % (position - 1) if position > shown else b"")
            shown, last = position, time.monotonic()
        if position >= batch.size:
            await _pause(container.stopping)
    yield b'event: end\ndata: {"reason":"stopping"}\n\n'


async def _pause(stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(INTERVAL):
            await stopping.wait()
    except TimeoutError:
        pass
