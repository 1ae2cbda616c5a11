"""Migrations on a real PostgreSQL: raced, broken, edited, newer than the code."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import asyncpg
import pytest

from quartet_common.config.settings import ServiceConfig
from quartet_common.data.connections import Connection, connect_once
from quartet_common.data.migrations import Migration, MigrationError, check_schema, is_newer, migrate
from quartet_common.runtime.process import COMMON, require_schema

Connect = Callable[[], Awaitable[Connection]]
TWO = [
    Migration(1, "first", "CREATE TABLE first (id integer); INSERT INTO first VALUES (1)"),
    Migration(2, "second", "CREATE TABLE second (id integer)"),
]
CONTRACT = Migration(3, "third", "-- contract: 0002\nDROP TABLE first")


@pytest.fixture
async def connect(config: ServiceConfig) -> AsyncIterator[Connect]:
    """Opens connections to an empty schema of the test's own."""
    schema = f"test_{uuid4().hex}"
    async with AsyncExitStack() as stack:

        async def open_one() -> Connection:
            connection = await connect_once(config)
            stack.push_async_callback(connection.close)
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            await connection.execute(f"SET search_path = {schema}")
            return connection

        first = await open_one()
        yield open_one
        await first.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_what_is_missing_is_applied_in_order_and_once(connect: Connect) -> None:
    connection = await connect()
    assert await migrate(connection, "probe", TWO[:1]) == 1
    assert await migrate(connection, "probe", TWO) == 1
    assert await migrate(connection, "probe", TWO) == 0
    assert await connection.fetchval("SELECT count(*) FROM first, schema_migrations") == 2
    await check_schema(connection, "probe", TWO)


async def test_four_that_race_apply_each_file_once(connect: Connect) -> None:
    connections = [await connect() for _ in range(4)]
    applied = await asyncio.gather(*(migrate(connection, "probe", TWO) for connection in connections))
    assert sorted(applied) == [0, 0, 0, 2]
    assert await connections[0].fetchval("SELECT count(*) FROM first") == 1


async def test_components_have_numbers_of_their_own(connect: Connect) -> None:
    connection = await connect()
    other = [Migration(1, "other", "CREATE TABLE other (id integer)")]
    assert await migrate(connection, "probe", TWO) == 2
    assert await migrate(connection, "other", other) == 1
    await check_schema(connection, "probe", TWO)


async def test_a_file_that_fails_leaves_nothing_of_itself_and_the_lock_is_free(connect: Connect) -> None:
    connection, other = await connect(), await connect()
    broken = [*TWO, Migration(3, "third", "CREATE TABLE third (id integer); SELECT no_such_function()")]
    with pytest.raises(Exception, match="no_such_function"):
        await migrate(connection, "probe", broken)
    assert await connection.fetchval("SELECT to_regclass('third') IS NULL")
    assert await connection.fetchval("SELECT max(version) FROM schema_migrations") == 2
    repaired = [*TWO, Migration(3, "third", "CREATE TABLE third (id integer)")]
    assert await asyncio.wait_for(migrate(other, "probe", repaired), 5) == 1


async def test_a_file_is_applied_and_noted_in_one_transaction(connect: Connect) -> None:
    connection = await connect()
    await migrate(connection, "probe", TWO)
    notes_itself = """CREATE TABLE third (id integer);
        INSERT INTO schema_migrations (component, version, name, checksum) VALUES ('probe', 3, 'third', '')"""
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(connection, "probe", [*TWO, Migration(3, "third", notes_itself)])
    assert await connection.fetchval("SELECT to_regclass('third') IS NULL")


async def test_code_runs_on_a_schema_that_later_migrations_have_expanded_and_leaves_it_alone(connect: Connect) -> None:
    connection = await connect()
    await migrate(connection, "probe", TWO)
    await check_schema(connection, "probe", TWO[:1])
    assert await migrate(connection, "probe", TWO[:1]) == 0
    assert await is_newer(connection, "probe", TWO[:1])
    assert not await is_newer(connection, "probe", TWO)
    assert await connection.fetchval("SELECT count(*) FROM schema_migrations") == 2


async def test_code_older_than_a_contract_migration_needs_is_refused_and_the_schema_left_alone(
    connect: Connect,
) -> None:
    connection = await connect()
    await migrate(connection, "probe", [*TWO, CONTRACT])
    for refused in (check_schema, migrate):
        with pytest.raises(MigrationError, match=r"version 3, newer than this code \(1\), and needs .* knows 0002"):
            await refused(connection, "probe", TWO[:1])
    await check_schema(connection, "probe", TWO)
    assert await connection.fetchval("SELECT count(*) FROM schema_migrations") == 3


async def test_a_contract_migration_is_not_applied_while_processes_run_that_it_would_break(connect: Connect) -> None:
    connection = await connect()
    await migrate(connection, "probe", TWO[:1])
    with pytest.raises(MigrationError, match=r"0003_third.sql needs code that knows 0002, .* running .* know 0001"):
        await migrate(connection, "probe", [*TWO, CONTRACT], rolling=True)
    assert await connection.fetchval("SELECT max(version) FROM schema_migrations") == 1
    assert await migrate(connection, "probe", TWO, rolling=True) == 1
    assert await migrate(connection, "probe", [*TWO, CONTRACT], rolling=True) == 1


async def test_a_table_of_migrations_without_the_column_of_contracts_is_read(connect: Connect) -> None:
    connection = await connect()
    await migrate(connection, "probe", TWO)
    await connection.execute("ALTER TABLE schema_migrations DROP COLUMN lowest")
    await check_schema(connection, "probe", TWO)
    assert await migrate(connection, "probe", [*TWO, CONTRACT]) == 1


async def test_a_schema_older_than_the_code_is_not_started_on(connect: Connect) -> None:
    connection = await connect()
    with pytest.raises(MigrationError, match=r"version 0, the code needs 2: run migrate"):
        await check_schema(connection, "probe", TWO)
    await migrate(connection, "probe", TWO[:1])
    with pytest.raises(MigrationError, match=r"version 1, the code needs 2: run migrate"):
        await check_schema(connection, "probe", TWO)


async def test_a_file_that_was_edited_after_it_was_applied_is_refused(connect: Connect) -> None:
    connection = await connect()
    await migrate(connection, "probe", TWO)
    edited = [Migration(1, "first", "CREATE TABLE first (id bigint)"), TWO[1]]
    for refused in (check_schema, migrate):
        with pytest.raises(MigrationError, match=r"0001_first.sql was edited"):
            await refused(connection, "probe", edited)


async def test_a_process_starts_on_a_newer_schema_unless_that_needs_newer_code(config: ServiceConfig) -> None:
    await require_schema("quartet_common", config)
    connection = await connect_once(config)
    newer = (
        "INSERT INTO schema_migrations (component, version, name, checksum, lowest) VALUES ($1, $2, 'future', '', $3)"
    )
    try:
        await connection.execute(newer, COMMON, 98, 0)
        await require_schema("quartet_common", config)
        await connection.execute(newer, COMMON, 99, 99)
        with pytest.raises(SystemExit, match="newer than this code"):
            await require_schema("quartet_common", config)
    finally:
        await connection.execute("DELETE FROM schema_migrations WHERE version >= 98")
        await connection.close()
