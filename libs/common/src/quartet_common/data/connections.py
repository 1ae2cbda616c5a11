"""Connecting to PostgreSQL: one connection, what all connections have in common, and no pooler in between."""

from typing import TypeAlias
from urllib.parse import quote

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from quartet_common.config.settings import ServiceConfig

SingleConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection outside any pool."""
Connection: TypeAlias = "SingleConnection | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


async def connect_once(
    config: ServiceConfig, statement_timeout: float | None = None, *, timeout: float = 5.0
) -> SingleConnection:
    """One connection outside any pool, for migrations, the relay, the probe and exports.

    `statement_timeout` and `timeout`, that of connecting, are in seconds.
    """
    return await asyncpg.connect(
        url_of(config),
        password=config.database_password.get_secret_value(),
        timeout=timeout,
        command_timeout=statement_timeout,
        server_settings=server_settings(config),
    )


async def connect_directly(config: ServiceConfig) -> SingleConnection:
    """As `connect_once`, for the start of a process. Raises SystemExit, with the reason, if a connection pooler such as
    PgBouncer answers: it gives a client's transactions to different sessions, and Quartet needs one session.
    """
    try:
        connection = await connect_once(config)
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" in str(error):
            raise _pooler_refused(config) from error
        raise
    try:
        # a pooler gives its clients process ids of its own, for cancel requests that go through the pooler
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
    """The URL; where it asks for a verified server and does not say by whom, by QUARTET_TRUST."""
    url = config.database_url
    if config.trust is None or "sslmode=verify-" not in url or "sslrootcert=" in url:
        return url
    return f"{url}&sslrootcert={quote(str(config.trust), safe='/')}"


def server_settings(config: ServiceConfig) -> dict[str, str]:
    """What each session is set to."""
    return {"search_path": config.service, "application_name": f"quartet-{config.service}", "jit": "off"}
