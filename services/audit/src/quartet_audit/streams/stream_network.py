"""Connections of streams: resolve a host, check each address, and connect to one that was checked."""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore
import httpx

from quartet_audit.config import AuditConfig
from quartet_audit.streams.stream_address_domain import Network, require_allowed

CONNECT_TIMEOUT = 5.0
"""Seconds for resolving a name, and for connecting."""
LOOKUPS = 32
"""Names that a process resolves at a time, in threads of their own: a slow name server holds up nothing else."""


def tls_context(config: AuditConfig) -> ssl.SSLContext:
    """What destinations must show: a certificate of a public authority, or of one in QUARTET_STREAM_CA. They get none
    from us.
    """
    context = httpx.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.stream_ca is not None:
        context.load_verify_locations(config.stream_ca)
    return context


class Resolver:
    """Resolves the hosts of destinations to addresses that are allowed."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._threads = ThreadPoolExecutor(LOOKUPS, "stream-names")

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of `host`, all of them allowed. Raises RefusedAddressError, OSError and TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            found = await loop.run_in_executor(self._threads, _addresses, host, port)
        require_allowed(host, found, self._networks)
        return found


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """The network of httpcore: it connects to addresses that were checked; TLS still asks for the host's name."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that accepts. Raises RefusedAddressError, OSError and httpcore's."""
        error: Exception | None = None
        for address in await self._resolver.resolve(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error or httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
