"""Connections to PostgreSQL: how one is made, and the check that no pooler is in between."""

import asyncio
from typing import Any, TypeAlias
from urllib.parse import quote
from weakref import WeakSet

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from quartet_common.config.server_urls import Host, read_database_url
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.hosts import connect_to_first

SingleConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection outside any pool."""
Connection: TypeAlias = "SingleConnection | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

PATIENCE = 0.15
"""Seconds without an answer of one host after which the next one is tried as well: most are left of
`database_acquire_timeout`, even for the third.
"""


async def connect(url: str, *, timeout: float = 5.0, **options: Any) -> SingleConnection:
    """As asyncpg.connect; of several hosts in `url`, one that does not answer does not use up `timeout` (seconds)."""
    hosts = read_database_url(url)

    async def to(host: Host) -> SingleConnection:
        return await asyncpg.connect(hosts.at(host), timeout=timeout, **options)

    if len(hosts.hosts) < 2:
        return await asyncpg.connect(url, timeout=timeout, **options)
    async with asyncio.timeout(timeout):
        return await connect_to_first(hosts.hosts, to, _discard, PATIENCE)


async def _discard(connection: SingleConnection) -> None:
    connection.terminate()


async def connect_once(
    config: ServiceConfig, statement_timeout: float | None = None, *, timeout: float = 5.0
) -> SingleConnection:
    """A connection outside any pool, for migrations, the relay, the probe and exports.

    `statement_timeout` and `timeout` (of connecting) are in seconds.
    """
    return await connect(
        url_of(config),
        password=config.database_password.get_secret_value(),
        timeout=timeout,
        command_timeout=statement_timeout,
        server_settings=server_settings(config),
    )


async def open_pool(config: ServiceConfig, opened: WeakSet[SingleConnection]) -> Pool:
    """A pool, whose connections are in `opened` too. Raises the driver's error if PostgreSQL is unavailable."""

    async def open_one(url: str, **options: Any) -> SingleConnection:
        connection = await connect(url, **options)
        opened.add(connection)
        return connection

    pool: Pool = await asyncpg.create_pool(  # type: ignore[call-overload]  # the options of `open_one` are asyncpg's
        url_of(config),
        connect=open_one,
        password=config.database_password.get_secret_value(),
        min_size=config.database_pool_min,
        max_size=config.database_pool_max,
        command_timeout=config.database_timeout,
        timeout=config.database_acquire_timeout,
        server_settings=server_settings(config),
        reset=_no_reset,
    )
    return pool


async def _no_reset(connection: object) -> None:
    """No round trip to reset a connection: code never changes the session state of pooled connections."""


async def fetch_one(connection: Connection, query: str, *arguments: object) -> asyncpg.Record:
    """The row of a query that always returns one. Raises RuntimeError for none."""
    row = await connection.fetchrow(query, *arguments)
    if row is None:
        raise RuntimeError("the query returned no row")
    return row


async def connect_directly(config: ServiceConfig) -> SingleConnection:
    """As `connect_once`, for the start of a process. Raises SystemExit if a connection pooler such as PgBouncer
    answers: it distributes a client's transactions over sessions, and Quartet needs one session.
    """
    try:
        connection = await connect_once(config)
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" in str(error):
            raise _pooler_refused(config) from error
        raise
    try:
        # a pooler gives clients process ids of its own, to forward cancel requests
        is_direct = await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid()
    except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
        is_direct = False
    except BaseException:
        connection.terminate()
        raise
    if not is_direct:
        connection.terminate()
        raise _pooler_refused(config)
    return connection


def _pooler_refused(config: ServiceConfig) -> SystemExit:
    there = config.database_url.rpartition("@")[2].partition("/")[0]
    return SystemExit(
        f"QUARTET_DATABASE_URL leads to a connection pooler at {there}. Sessions of PostgreSQL are needed (LISTEN, "
        "advisory locks, prepared statements, search_path): set it to the address of PostgreSQL. Each process has a "
        "pool of its own; QUARTET_DATABASE_POOL_MAX is its size."
    )


def url_of(config: ServiceConfig) -> str:
    """The URL; QUARTET_TRUST is the root certificate of a verified connection unless the URL names one."""
    url = config.database_url
    if config.trust is None or "sslmode=verify-" not in url or "sslrootcert=" in url:
        return url
    return f"{url}&sslrootcert={quote(str(config.trust), safe='/')}"


def server_settings(config: ServiceConfig) -> dict[str, str]:
    """The settings of each session."""
    return {"search_path": config.service, "application_name": f"quartet-{config.service}", "jit": "off"}
