"""Transactions that PostgreSQL undoes because of one another: they are tried again, or answered so that clients do."""

import asyncio

import pytest

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import ContendedError
from quartet_common.data.connections import Connection
from quartet_common.data.database import ATTEMPTS, Database, after_commit
from quartet_common.runtime.container import AppContainer

LOCKS = (7_001, 7_002)


class Crossing:
    """Two commands that each take what the other one wants next, the first time that they run."""

    def __init__(self) -> None:
        self.both = asyncio.Barrier(2)
        self.runs = [0, 0]

    async def command(self, connection: Connection, number: int) -> int:
        self.runs[number] += 1
        first, second = LOCKS if number == 0 else reversed(LOCKS)
        await connection.execute("SELECT pg_advisory_xact_lock($1)", first)
        if self.runs[number] == 1:
            await self.both.wait()
        await connection.execute("SELECT pg_advisory_xact_lock($1)", second)
        return number


async def in_transaction(database: Database, crossing: Crossing, number: int) -> int:
    async with database.transaction() as connection:
        return await crossing.command(connection, number)


async def test_of_two_transactions_that_block_each_other_one_is_told_to_come_again(
    container: AppContainer[ServiceConfig],
) -> None:
    crossing = Crossing()
    tried = (in_transaction(container.database, crossing, number) for number in (0, 1))
    results = await asyncio.gather(*tried, return_exceptions=True)
    [error] = [result for result in results if isinstance(result, BaseException)]
    assert isinstance(error, ContendedError)
    assert (error.status, error.code, error.headers) == (503, "postgresql_contended", {"Retry-After": "1"})


async def test_commands_that_block_each_other_are_both_carried_out(container: AppContainer[ServiceConfig]) -> None:
    crossing = Crossing()
    database = container.database
    tried = (database.run(lambda connection, one=number: crossing.command(connection, one)) for number in (0, 1))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert await asyncio.gather(*tried) == [0, 1]
    assert sorted(crossing.runs) == [1, 2]


async def test_a_command_that_is_undone_again_and_again_is_given_up(container: AppContainer[ServiceConfig]) -> None:
    runs = 0

    async def command(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    with pytest.raises(ContendedError):
        await container.database.run(command)
    assert runs == ATTEMPTS


async def test_a_command_that_fails_by_itself_is_not_repeated(container: AppContainer[ServiceConfig]) -> None:
    runs = 0

    async def command(_: Connection) -> None:
        nonlocal runs
        runs += 1
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # it has no words
        await container.database.run(command)
    assert runs == 1


async def test_an_action_runs_after_its_commit_and_not_after_a_rollback(container: AppContainer[ServiceConfig]) -> None:
    done: list[str] = []
    async with container.database.transaction() as connection:
        await connection.execute("SELECT 1")
        after_commit(lambda: done.append("committed"))
        assert not done

    async def fail(_: Connection) -> None:
        after_commit(lambda: done.append("rolled back"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await container.database.run(fail)
    assert done == ["committed"]
    with pytest.raises(RuntimeError, match="transaction"):
        after_commit(lambda: None)
