"""The journal: no statement reads all of a large one to find a part, and it has nothing of deleted tenants."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.clock import utc_now
from quartet_common.data import tenant_rows
from quartet_common.data.connections import Connection
from quartet_common.messaging import journal
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_testing.messaging import Channel, Container, Thing, add, drained, relay_of, running
from quartet_testing.services import new_tenant

ROWS = 20_000
FILL = """
INSERT INTO published_events
SELECT -n, CASE WHEN n % 10 < 6 THEN 'large' ELSE 'small' || n % 10 END, 'tester', 'things/' || n,
       'common.thing.happened.v1', gen_random_uuid(), NULL, convert_to(repeat('x', 500), 'UTF8'), false,
       $1::timestamptz - n * interval '1 second'
FROM generate_series(1, $2::int) n"""
SCANS = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'published_events'::regclass"


@pytest.fixture
async def large(container: AppContainer[ServiceConfig]) -> AsyncIterator[Connection]:
    """A transaction in which the journal has ROWS events and no others, one each second until a month ago. It is rolled
    back at the end.
    """
    async with container.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("TRUNCATE published_events")
        await connection.execute(FILL, month_ago(), ROWS)
        await connection.execute("ANALYZE published_events")
        before = await connection.fetchval(SCANS)
        yield connection
        assert await connection.fetchval(SCANS) == before, "a statement read the whole journal"
        await transaction.rollback()


def month_ago() -> datetime:
    return utc_now() - timedelta(days=30)


@pytest.mark.parametrize("tenant", ["large", "small7", "none"])
async def test_what_a_deleted_tenant_has_in_it_is_found(large: Connection, tenant: str) -> None:
    expected = {"large": 2000, "small7": ROWS // 10, "none": 0}[tenant]
    assert await tenant_rows.erase_rows(large, "published_events", tenant, 2000) == expected


@pytest.mark.parametrize(("minutes", "of_tenant", "of_all"), [(5, 30, 270), (300, 500, 500)])
async def test_what_was_published_since_a_time_is_found(
    large: Connection, minutes: int, of_tenant: int, of_all: int
) -> None:
    until = month_ago()
    since = until - timedelta(minutes=minutes)
    row = await large.fetchrow(journal.REPLAY_TENANT, since, until, 500, "small7")
    assert row is not None
    assert row["count"] == pytest.approx(of_tenant, abs=5)
    row = await large.fetchrow(journal.REPLAY, since, until, 500)
    assert row is not None
    assert row["count"] == pytest.approx(of_all, abs=5)


async def test_what_is_to_be_forgotten_is_found(large: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SLICE", 500)
    assert await journal.prune(large, 30 * 24 + 5.5) == pytest.approx(ROWS - 5.5 * 3600, abs=5)
    assert await journal.prune(large, 30 * 24) == 500
    assert await journal.prune(large, 31 * 24) == 0


async def test_what_was_published_at_the_same_time_is_moved_at_once_in_its_order(large: Connection) -> None:
    since, until = month_ago() - timedelta(days=2), month_ago() - timedelta(days=1)
    await large.execute("UPDATE published_events SET published_at = $1 WHERE id > -100", since)
    row = await large.fetchrow(journal.REPLAY, since, until, 10)
    assert row is not None
    assert (row["count"], row["last"]) == (99, since)
    moved = await large.fetch("SELECT aggregate FROM outbox ORDER BY id DESC LIMIT 99")
    assert [record["aggregate"] for record in moved] == [f"things/{number}" for number in range(1, 100)]


async def publish(container: Container, tenant: str, name: str, thing: Thing) -> None:
    """Have a relay publish one event."""
    await add(container, tenant, [thing(name)])
    async with running(relay_of(container)):
        await drained(container)


async def kept(container: Container, *tenants: str) -> list[str]:
    """The aggregates of the events of `tenants` in the journal."""
    query = "SELECT aggregate FROM published_events WHERE tenant_id = ANY($1) ORDER BY id"
    async with container.database.connection() as connection:
        return [row["aggregate"] for row in await connection.fetch(query, tenants)]


async def test_events_of_a_deleted_tenant_are_neither_kept_nor_published_again(
    container: Container, channel: Channel, thing: Thing
) -> None:
    deleted, other, begun = new_tenant(), new_tenant(), utc_now()
    for tenant in (deleted, other):
        await publish(container, tenant, "before", thing)
    async with container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, deleted)
    assert await journal.replay(container.database, begun, None) == 1
    assert await journal.replay(container.database, begun, deleted) == 0
    await publish(container, deleted, "late", thing)
    assert await kept(container, deleted, other) == [f"{deleted}/things/before", f"{other}/things/before"]
    await tenant_deletion.erasing(container).action()
    assert await kept(container, deleted, other) == [f"{other}/things/before"]
