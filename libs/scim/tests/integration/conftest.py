"""The database of the integration tests: a real PostgreSQL with tables that are gone with the connection."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from quartet_cli.stack import Stack

TABLES = """
CREATE TEMPORARY TABLE people (
    place integer NOT NULL,
    id uuid NOT NULL,
    user_name_key text NOT NULL,
    external_id text,
    display_name text,
    created_at timestamptz NOT NULL,
    modified_at timestamptz NOT NULL,
    resource jsonb NOT NULL
);
CREATE TEMPORARY TABLE memberships (place integer NOT NULL, group_id uuid NOT NULL);
CREATE TEMPORARY TABLE addresses (place integer NOT NULL, address text NOT NULL);
"""


@pytest.fixture
async def connection(servers: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A connection with empty tables of its own, as the users service would have them."""
    # The services' own roles may not make tables, temporary or not.
    password = (servers.home.secrets / "postgres" / "password").read_text()
    url = servers.environment("users", "api")["QUARTET_DATABASE_URL"]
    connection = await asyncpg.connect(url, user="postgres", password=password)
    try:
        await connection.execute(TABLES)
        yield connection
    finally:
        await connection.close()
