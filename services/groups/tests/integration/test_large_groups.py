"""Large groups: they are written and emptied in one request, and the plans hold for a group that was just filled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import new_id
from quartet_common.core.offload import SLICE
from quartet_common.data.connections import Connection
from quartet_groups import group_store, member_store

NUMBER = 60_000


@pytest.fixture
async def users(own: Any) -> list[UUID]:
    """Known users."""
    ids = [new_id() for _ in range(NUMBER)]
    async with own.service.container.database.transaction() as connection:
        rows = [(own.tenant, one, "Barbara Jensen", 1, False) for one in ids]
        columns = ["tenant_id", "id", "display", "version", "deleted"]
        await connection.copy_records_to_table("known_users", records=rows, columns=columns)
    return ids


async def test_a_large_group_is_put_and_halved_in_one_request_each(own: Any, users: list[UUID]) -> None:
    group = await own.make()
    for one in users[:10]:  # PostgreSQL then has plans that know nothing of the number of ids
        assert (await own.put(group, one)).status_code == 200
    assert (await own.put(group, *users)).status_code == 200
    assert (await own.patch(group, "remove", *users[: NUMBER // 2])).status_code == 200
    assert await own.members(group) == set(users[NUMBER // 2 :])


async def test_to_remove_one_member_reads_no_others(own: Any, users: list[UUID]) -> None:
    group = await own.make(*users)
    statistics = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'members'"
    async with own.service.container.database.transaction() as connection:
        before = await connection.fetchval(statistics)  # what this session did lately counts too
        for one in users[:10]:  # more often than the planner looks at the values
            removed = await member_store.remove_members(connection, own.tenant, group, [one])
            assert removed.users == [one]
        assert await connection.fetchval(statistics) - before < 100


@contextmanager
def counted_ids(connection: Connection) -> Iterator[list[int]]:
    """The number of ids of each statement inside the block that has some."""
    sizes: list[int] = []

    def note(query: Any) -> None:
        sizes.extend(len(query.args[1]) for _ in query.args[1:2])

    with connection.query_logger(note):
        yield sizes


async def test_users_are_learnt_and_looked_up_in_slices(own: Any) -> None:
    learnt = [(new_id(), "Barbara Jensen", 1, False) for _ in range(SLICE + 1)]
    ids, unknown = [user[0] for user in learnt], new_id()
    async with own.service.container.database.transaction() as connection:
        with counted_ids(connection) as sizes:
            await group_store.upsert_users(connection, own.tenant, learnt)
            assert await group_store.known_ids(connection, own.tenant, [*ids, unknown]) == set(ids)
            assert await group_store.lock_known(connection, own.tenant, [*ids, unknown]) == set(ids)
    assert sizes == [SLICE, 1, SLICE, 2, SLICE, 2]


async def test_groups_among_many_members_are_looked_up_in_slices(own: Any) -> None:
    group = await own.make()
    async with own.service.container.database.connection() as connection:
        with counted_ids(connection) as sizes:
            ids = [*(new_id() for _ in range(SLICE)), group]
            assert await group_store.names_of(connection, own.tenant, ids) == {group: "g"}
    assert sizes == [SLICE, 1]
