"""Searches by resource type, address, trace id and text: with the index of terms, without it, and while it is built."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from quartet_audit.entries import text_index_store, text_search_store
from quartet_audit.entries.digest_domain import former_id, recorded_id
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_audit.entries.entry_range_store import find_sequences
from quartet_audit.entries.filter_domain import read_filters
from quartet_audit.entries.term_domain import fact_key, network_keys, parse_address, word_key
from quartet_audit.entries.text_index_domain import BLOCK, SEGMENT
from quartet_audit.entries.text_index_usecases import index_all
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_common.core.identifiers import new_id
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SIZE = BLOCK + 2 * SEGMENT + 300
LATE = BLOCK + SEGMENT + 99
"""The entry that happened DELAY seconds before those around it."""
DELAY = 2000


def event_of(make_event: "MakeEvent", tenant: str, number: int) -> Any:
    return make_event(
        "users.user.created" if number % 2 else "roles.role.created",
        tenant,
        time=make_event().time + timedelta(seconds=number - (DELAY if number == LATE else 0)),
        actorid=f"actor-{number % 3}",
        actorname="Barbara Jensen" if number % 1000 == 7 else None,
        subject=f"{'roles' if number % 1000 == 8 else 'users'}/id-{number}",
        sourceip=("192.0.2.7", f"10.0.{number % 256}.1", "2001:db8::1", "nowhere", None)[number % 5],
        traceparent=f"00-{TRACE}-00f067aa0ba902b7-01" if number % 2000 == 9 else None,
        data={"userName": f"user{number}@example.com", "mark": "Rare" if number % 2500 == 11 else "usual"},
    )


@pytest.fixture(scope="module", autouse=True)
def _without_pauses() -> Iterator[None]:
    with patch("quartet_audit.entries.text_index_usecases.PAUSE", 0.0):
        yield


@pytest.fixture(scope="module")
async def tenant(audit: "Audit", make_event: "MakeEvent") -> str:
    """A tenant with a block in the index, which was built of segments, two segments, and some entries behind them."""
    tenant = new_tenant()
    for start in range(0, SIZE, 1024):
        numbers = range(start, min(SIZE, start + 1024))
        await audit.record([event_of(make_event, tenant, number) for number in numbers])
        await index_all(audit.container)
    return tenant


async def find(audit: "Audit", tenant: str, **query: object) -> list[int]:
    """The numbers of the entries that answer a question, over all pages."""
    return [entry["sequence"] for entry in await audit.find(tenant, limit=500, **query)]


FILTERS: list[tuple[dict[str, str], Callable[[int], object]]] = [
    ({"resource_type": "roles"}, lambda n: n % 1000 == 8),
    ({"resource_type": "role"}, lambda _: False),
    ({"trace_id": TRACE.upper()}, lambda n: n % 2000 == 9),
    ({"address": "10.0.6.1"}, lambda n: n % 5 == 1 and n % 256 == 6),
    ({"address": "10.0.6.0/23"}, lambda n: n % 5 == 1 and n % 256 in (6, 7)),
    ({"address": "10.0.0.0/24"}, lambda n: n % 5 == 1 and n % 256 == 0),
    ({"address": "2001:db8::1:0/112"}, lambda _: False),
    ({"text": "BARBARA"}, lambda n: n % 1000 == 7),
    ({"text": "jensen barbara"}, lambda n: n % 1000 == 7),
    ({"text": "barbar"}, lambda _: False),
    ({"text": "rare"}, lambda n: n % 2500 == 11),
    ({"text": "user4711@example.com"}, lambda n: n == 4711),
    ({"text": "4711@example.com"}, lambda _: False),
    ({"text": "user2222@example.com"}, lambda n: n == 2222),
    ({"text": "id-4500"}, lambda n: n == 4500),
    ({"text": "rare", "actor": "actor-2"}, lambda n: n % 2500 == 11 and n % 3 == 2),
    ({"text": "rare", "action": "roles.*"}, lambda n: n % 2500 == 11 and n % 2 == 0),
    ({"text": "rare", "resource": "id-2511"}, lambda n: n == 2511),
    ({"text": "usual", "resource_type": "roles"}, lambda n: n % 1000 == 8),
    ({"text": "barbara", "trace_id": TRACE}, lambda _: False),
]


def in_order(numbers: list[int], order: str) -> list[int]:
    """`numbers` in the order of pages: LATE is DELAY seconds too early."""
    return sorted(numbers, key=lambda n: (n - DELAY if n == LATE else n, n), reverse=order == "desc")


@pytest.mark.parametrize(("query", "passes"), FILTERS, ids=[str(query) for query, _ in FILTERS])
@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_each_filter_finds_exactly_its_entries_in_order(
    audit: "Audit", tenant: str, query: dict[str, Any], passes: Callable[[int], object], order: str
) -> None:
    expected = in_order([n for n in range(SIZE) if passes(n)], order)
    assert await find(audit, tenant, **query, order=order) == expected


@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_a_late_entry_is_in_its_place_by_time(audit: "Audit", tenant: str, order: str) -> None:
    found = await find(audit, tenant, text="example", address="2001:db8::/32", order=order)
    everybody = await find(audit, tenant, address="0.0.0.0/0", order=order)
    assert found == in_order([n for n in range(SIZE) if n % 5 == 2], order)
    assert everybody == in_order([n for n in range(SIZE) if n % 5 in (0, 1)], order)


@pytest.mark.parametrize(
    "name", ["PROBED", "MAX_PROBED", "MAX_UNINDEXED", "MAX_SCANNED", "MAX_LOOKED_UP", "MAX_CHECKED", "CANDIDATES"]
)
@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_a_page_that_ends_at_a_limit_leads_on(
    audit: "Audit", tenant: str, monkeypatch: pytest.MonkeyPatch, name: str, order: str
) -> None:
    monkeypatch.setattr(text_search_store, name, 40)
    monkeypatch.setattr(text_search_store, "BLOCKS_READ", 1)
    query = {"text": "barbara jensen", "order": order}
    assert await find(audit, tenant, **query) == in_order([n for n in range(SIZE) if n % 1000 == 7], order)


async def test_a_search_reads_the_parts_of_candidates_only(
    audit: "Audit", tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, sequences = text_index_store.read_parts, []

    async def counted(connection: Any, tenant: str, some: list[int]) -> Any:
        sequences.extend(some)
        return await read(connection, tenant, some)

    monkeypatch.setattr(text_index_store, "read_parts", counted)
    monkeypatch.setattr(text_search_store, "PROBED", 50)
    assert await find(audit, tenant, text="rare", **{"from": "2020-01-01T00:00:00Z"})
    assert sorted(sequences)[:2] == [11, 2511]
    assert len(sequences) <= 2 + SIZE - BLOCK - 2 * SEGMENT + 1
    assert set(sequences[:50]) == set(range(SIZE - 50, SIZE))


async def test_pages_neither_repeat_nor_miss_an_entry_while_new_ones_arrive_and_are_indexed(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant, found, number = new_tenant(), list[int](), 0
    cursor: str | None = ""
    while cursor is not None:
        await audit.record([event_of(make_event, tenant, one) for one in range(number, number + SEGMENT)])
        number += SEGMENT
        page = await audit.page(tenant, address="10.0.0.0/16", limit=45, cursor=cursor)
        await index_all(audit.container)
        found += [entry["sequence"] for entry in page["events"]]
        cursor = page["next"]
    assert number > 2 * SEGMENT
    assert found == [n for n in reversed(range(SEGMENT)) if n % 5 == 1]


async def test_another_tenant_finds_nothing(audit: "Audit", tenant: str) -> None:
    other = new_tenant()
    for query in ({"text": "rare"}, {"address": "192.0.2.7"}, {"trace_id": TRACE}, {"resource_type": "users"}):
        assert await find(audit, tenant, **query)
        assert await find(audit, other, **query) == []


async def test_a_resource_of_an_application_is_found_by_the_id_that_was_sent(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    async with audit.container.database.transaction() as connection:
        key = await DigestKeys.of(audit.container).require(connection, tenant)
    subjects = [f"orders/{former_id('2026-0815')}", "users/2026-0815", "users/other", f"orders/{recorded_id('x', key)}"]
    subjects += [f"orders/{recorded_id('2026-0815', key)}", f"orders/{recorded_id('2026-0815', bytes(32))}"]
    await audit.record([make_event(tenant=tenant, subject=subject) for subject in subjects])
    assert await find(audit, tenant, resource="2026-0815") == [4, 1, 0]
    assert await find(audit, tenant, resource="2026-0815", order="asc") == [0, 1, 4]
    assert await find(audit, tenant, resource="2026-0815", resource_type="orders") == [4, 0]
    assert await find(audit, tenant, resource="2026-0815", actor="tester") == [4, 1, 0]


async def rows(audit: "Audit", tenant: str, key: int) -> int:
    """How many rows of the index have a term."""
    async with audit.container.database.connection() as connection:
        return len(await text_index_store.find_blocks(connection, tenant, [key]))


async def erase(audit: "Audit", tenant: str, user: str) -> None:
    headers = audit.tokens.headers(tenant, ["audit:erase"])
    answer = await audit.client.post("/audit/erasures", headers=headers, json={"user": user})
    assert answer.status_code == 202
    await audit.deliver(tenant)
    await carry_out_all(audit.container)


async def test_an_erased_name_is_neither_found_nor_in_the_index_and_others_are(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    own = {"subject": f"users/{new_id()}", "sourceip": "198.51.100.9", "traceparent": f"00-{'5' * 32}-{'6' * 16}-01"}
    erased = new_tenant()
    events = [make_event(tenant=erased, data={"userName": "zebedee"}, **own)]
    events += [make_event(tenant=erased, data={"userName": f"user{number}"}) for number in range(BLOCK)]
    for start in range(0, len(events), 1024):
        await audit.record(events[start : start + 1024])
    await index_all(audit.container)
    network = parse_address("198.51.100.9")
    assert network is not None
    personal = [word_key("zebedee"), *network_keys(network)]
    assert [await rows(audit, erased, key) for key in personal] == [1] * 5
    await erase(audit, erased, own["subject"].partition("/")[2])
    assert [await rows(audit, erased, key) for key in [*personal, word_key("user7")]] == [0] * 6
    assert await find(audit, erased, text="user7") == [8]
    await index_all(audit.container)
    assert [await rows(audit, erased, key) for key in personal] == [0] * 5
    assert [await rows(audit, erased, key) for key in (word_key("user7"), fact_key("trace_id", "5" * 32))] == [1, 1]
    assert await find(audit, erased, text="user7") == [8]
    assert await find(audit, erased, text="zebedee") == []
    assert await find(audit, erased, address="198.51.100.9") == []
    assert await find(audit, erased, trace_id="5" * 32) == [0]


async def test_a_block_that_is_built_while_parts_are_erased_has_none_of_their_terms(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, user = new_tenant(), str(new_id())
    events = [make_event(tenant=tenant, subject=f"users/{user}", data={"userName": "zebedee"})]
    events += [make_event(tenant=tenant) for _ in range(BLOCK - 1)]
    for start in range(0, BLOCK, 1024):
        await audit.record(events[start : start + 1024])
    read, has_read, is_erasing = text_index_store.read_range, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        rows = await read(*arguments)
        has_read.set()
        await is_erasing.wait()
        return rows

    monkeypatch.setattr(text_index_store, "read_range", slow)
    building = asyncio.ensure_future(index_all(audit.container))
    await has_read.wait()
    erasing = asyncio.ensure_future(erase(audit, tenant, user))
    await eventually(lambda: waits(audit), "the erasure waits for the block")
    is_erasing.set()
    await asyncio.gather(building, erasing)
    assert await rows(audit, tenant, word_key("zebedee")) == 0


async def waits(audit: "Audit") -> bool:
    """Whether a transaction waits for the lock of an index."""
    async with audit.container.database.connection() as connection:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))


async def sequences_by_range(audit: "Audit", tenant: str, filters: dict[str, str], step: int) -> list[int]:
    """What an export finds: the sequences that pass, range by range, a few at a time."""
    found, start = list[int](), 0
    while start < SIZE:
        async with audit.container.database.snapshot() as connection:
            some = await find_sequences(connection, tenant, read_filters(filters), start, min(start + step, SIZE), 200)
        assert some.end > start
        found, start = found + some.sequences, some.end
    return found


@pytest.mark.parametrize("step", [10_000, 700])
@pytest.mark.parametrize(
    ("filters", "passes", "most"),
    [
        ({"text": "rare"}, lambda number: number % 2500 == 11, 10),
        ({"text": "rare", "actor": "actor-1"}, lambda number: number % 2500 == 11 and number % 3 == 1, 10),
        ({"trace_id": TRACE}, lambda number: number % 2000 == 9, 10),
        ({"address": "10.0.9.0/24"}, lambda number: number % 5 == 1 and number % 256 == 9, 10),
        ({"text": "usual"}, lambda number: number % 2500 != 11, 2 * SIZE),
        ({"address": "0.0.0.0/0"}, lambda number: number % 5 in (0, 1), 2 * SIZE),
    ],
)
async def test_an_export_finds_by_the_index_what_a_scan_would_and_reads_only_candidates(
    audit: "Audit",
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, str],
    passes: Callable[[int], bool],
    most: int,
    step: int,
) -> None:
    read, read_parts = 0, text_index_store.read_parts

    async def counted(connection: Any, tenant: str, sequences: Any) -> Any:
        nonlocal read
        read += sum(sequence < SIZE - SIZE % SEGMENT for sequence in sequences)
        return await read_parts(connection, tenant, sequences)

    monkeypatch.setattr(text_index_store, "read_parts", counted)
    found = await sequences_by_range(audit, tenant, filters, step)
    assert found == [number for number in range(SIZE) if passes(number)]
    assert read <= len(found) + most, "the index leaves only entries that pass, but for collisions"
