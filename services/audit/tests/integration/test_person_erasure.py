"""Erasure of a person: its personal data is gone from every table, and the tree and older proofs stay valid."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from quartet_audit.entries.entry_store import PART_COLUMNS
from quartet_audit.erasures import erasure_store, erasure_usecases
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_audit.leaves.leaf_domain import Part
from quartet_audit.trees import tree_store
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_testing.conditions import eventually
from quartet_testing.faults import somebody_waits
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

ERASE = ["audit:erase"]
MANY = 1000
COLUMNS = """
SELECT table_name, column_name
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"""


class Person:
    """A user with names that nobody else has."""

    def __init__(self) -> None:
        self.id = str(new_id())
        mark = self.id.replace("-", "")
        self.values = [f"bjensen-{mark}@example.com", f"Barbara {mark}", f"babs-{mark}@example.org", f"192.0.2.{mark}"]
        self.user_name, self.display_name, self.email, self.address = self.values


async def ask(audit: "Audit", tenant: str, user: str) -> str:
    """Request an erasure; its id."""
    headers = audit.tokens.headers(tenant, ERASE, actor="officer")
    answer = await audit.client.post("/audit/erasures", headers=headers, json={"user": user})
    assert answer.status_code == 202
    identifier = str((await answer.get_json())["id"])
    assert answer.headers["Location"].endswith(f"/audit/erasures/{identifier}")
    await audit.deliver(tenant)
    return identifier


async def state(audit: "Audit", tenant: str, identifier: str) -> dict[str, Any]:
    headers = audit.tokens.headers(tenant, ERASE)
    answer = await audit.client.get(f"/audit/erasures/{identifier}", headers=headers)
    assert answer.status_code == 200
    return dict(await answer.get_json(force=True))


async def found(audit: "Audit", value: str) -> set[str]:
    """The columns of the schema, of whatever type, in which a value is."""
    columns = set()
    async with audit.container.database.connection() as connection:
        for table, column in await connection.fetch(COLUMNS):
            if await holds(connection, table, column, value):
                columns.add(f"{table}.{column}")
    return columns


async def holds(connection: Connection, table: str, column: str, value: str) -> bool:
    """Whether a row has the value in a column; bytes are shown in hexadecimal."""
    query = f'SELECT EXISTS (SELECT FROM "{table}" WHERE "{column}"::text LIKE ANY($1))'
    return bool(await connection.fetchval(query, [f"%{value}%", f"%{value.encode().hex()}%"]))


async def test_statistics_have_no_personal_part_and_no_event(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant, actorname="Barbara", data={"userName": "b"}) for _ in range(50)])
    async with audit.owner.database.connection() as connection:
        await connection.execute("ANALYZE")
        rows = await connection.fetch(
            "SELECT tablename, attname FROM pg_stats WHERE schemaname = current_schema() AND tablename = ANY($1)",
            ["personal_parts", "entries", "leaves", "term_segments", "outbox", "published_events"],
        )
        types = await connection.fetch("SELECT DISTINCT resource_type FROM entries WHERE tenant_id = $1", tenant)
    kept = {(row["tablename"], row["attname"]) for row in rows}
    assert {("personal_parts", "sequence"), ("entries", "actor"), ("leaves", "sequence")} <= kept
    assert not kept & {("personal_parts", column) for column in PART_COLUMNS[2:]}
    assert not kept & {
        ("entries", "facts"),
        ("entries", "facts_salt"),
        ("leaves", "leaf"),
        ("term_segments", "postings"),
    }
    assert not kept & {("outbox", "event"), ("published_events", "event")}
    assert [row["resource_type"] for row in types] == ["users"]


async def tree(audit: "Audit", tenant: str) -> tuple[list[bytes], Any]:
    async with audit.container.database.connection() as connection:
        frontier = await tree_store.get_frontier(connection, tenant)
        assert frontier is not None
        return await tree_store.read_leaves(connection, tenant, 0, frontier.size), frontier.root()


async def record_a_life(audit: "Audit", make_event: "MakeEvent", tenant: str, person: Person) -> None:
    """A thousand entries of a person among as many of others, and some that only mention it."""
    own = {"subject": f"users/{person.id}", "sourceip": person.address, "useragent": f"phone of {person.user_name}"}
    named = {"userName": person.user_name, "displayName": person.display_name, "emails": [{"value": person.email}]}
    await audit.record([make_event(tenant=tenant, data=named, **own)])
    for start in range(0, MANY, 250):
        await audit.record(
            [
                event
                for number in range(start, start + 250)
                for event in (
                    make_event("users.user.updated", tenant, data={**named, "number": number}, **own),
                    make_event("users.user.updated", tenant, subject="users/other", data={"userName": "other"}),
                )
            ]
        )
    by_person = {"actorid": person.id, "actorname": person.display_name, "sourceip": person.address}
    mentions = [{"members": [{"value": person.id}]}, {"userName": person.user_name.upper()}, {"to": [person.email]}]
    await audit.record(
        [
            make_event("groups.group.created", tenant, subject="groups/1", **by_person),
            *(make_event("groups.membership.added", tenant, subject="groups/1", data=data) for data in mentions),
        ]
    )


async def test_no_personal_value_of_an_erased_person_is_in_any_table_and_the_tree_stays(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant, other_tenant, person = new_tenant(), new_tenant(), Person()
    await record_a_life(audit, make_event, tenant, person)
    await audit.record([make_event(tenant=other_tenant, data={"userName": "x", "id": person.id})])
    for value in person.values:
        assert await found(audit, value)
    others = await audit.find(tenant, resource="other", limit=500)
    identifier = await ask(audit, tenant, person.id)
    before = await tree(audit, tenant)
    assert (await state(audit, tenant, identifier))["completed_time"] is None
    await carry_out_all(audit.container)
    for value in person.values:
        assert await found(audit, value) == set()
        assert await found(audit, value.upper()) == set()
    assert await tree(audit, tenant) == before
    assert await audit.find(tenant, resource="other", limit=500) == others
    [kept] = await audit.find(other_tenant)
    assert kept["data"] == {"userName": "x", "id": person.id}
    done = await state(audit, tenant, identifier)
    assert (done["user"], done["actor"], done["entries"]) == (person.id, "officer", MANY + 5)
    assert done["parts"] == 3 * (MANY + 1) + 3 + 4
    assert done["completed_time"] > done["requested_time"]


async def test_an_entry_says_what_was_erased_when_and_by_which_request(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, person = new_tenant(), Person()
    event = make_event(tenant=tenant, subject=f"users/{person.id}", sourceip="192.0.2.7", data={"userName": "x"})
    await audit.record([event])
    [before] = await audit.find(tenant)
    assert "erased" not in before
    identifier = await ask(audit, tenant, person.id)
    await carry_out_all(audit.container)
    [after] = await audit.find(tenant, resource=person.id)
    erased = after.pop("erased")
    assert after == before | dict.fromkeys(("resource_name", "source_address", "data"))
    assert [(one["part"], one["request"]) for one in erased] == [
        (part, identifier) for part in ("changes", "resource", "source")
    ]
    done = await state(audit, tenant, identifier)
    assert {one["time"] <= done["completed_time"] for one in erased} == {True}
    status, alone = await audit.ask(tenant, f"/audit/events/{event.id}")
    assert (status, alone) == (200, {**after, "erased": erased})
    headers = audit.tokens.headers(tenant, ["audit:export"])
    lines = (await (await audit.client.get("/audit/data/export", headers=headers)).get_data()).splitlines()
    assert json.loads(lines[0])["data"] == alone


async def test_facts_still_open_the_commitment_of_the_leaf(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, person = new_tenant(), Person()
    await audit.record([make_event(tenant=tenant, subject=f"users/{person.id}", data={"userName": "x"})])
    await ask(audit, tenant, person.id)
    await carry_out_all(audit.container)
    async with audit.container.database.connection() as connection:
        [leaf] = await tree_store.read_leaves(connection, tenant, 0, 1)
        row = await connection.fetchrow(
            "SELECT facts, facts_salt FROM entries WHERE tenant_id = $1 AND sequence = 0", tenant
        )
    assert row is not None
    assert Part(row["facts"], row["facts_salt"]).commitment() in leaf
    assert leaf.count(bytes(32)) == 2, "the entry never had an actor's name, nor a source"


async def test_the_request_and_its_completion_are_events_that_do_not_say_whom(audit: "Audit") -> None:
    tenant, person = new_tenant(), Person()
    identifier = await ask(audit, tenant, person.id)
    await carry_out_all(audit.container)
    await carry_out_all(audit.container)
    events = await audit.service.outbox(tenant)
    assert [(event.action, event.actorid, event.subject, event.data) for event in events] == [
        ("audit.erasure.requested", "officer", f"erasures/{identifier}", {}),
        ("audit.erasure.completed", "officer", f"erasures/{identifier}", {"entries": 0, "parts": 0}),
    ]


async def test_what_is_recorded_after_the_request_is_kept(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, person = new_tenant(), Person()
    old, new = (
        make_event(tenant=tenant, subject=f"users/{person.id}", data={"userName": person.user_name}) for _ in range(2)
    )
    await audit.record([old])
    await ask(audit, tenant, person.id)
    await audit.record([new])
    await carry_out_all(audit.container)
    shown = {entry["id"]: entry["data"] for entry in await audit.find(tenant, resource=person.id)}
    assert shown == {str(old.id): None, str(new.id): new.data}


async def test_an_erasure_that_was_interrupted_goes_on_and_counts_each_part_once(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, person = new_tenant(), Person()
    monkeypatch.setattr(erasure_usecases, "RANGE", 10)
    named = make_event(tenant=tenant, subject=f"users/{person.id}", data={"userName": person.user_name})
    await audit.record([named, *(make_event(tenant=tenant, data={"by": person.user_name}) for _ in range(99))])
    identifier = await ask(audit, tenant, person.id)
    erase, calls = erasure_store.erase_parts, []

    async def ends(*arguments: Any) -> list[int]:
        calls.append(arguments)
        if len(calls) in (4, 9, 17):
            raise ConnectionResetError
        return await erase(*arguments)

    monkeypatch.setattr(erasure_store, "erase_parts", ends)
    for _ in range(3):
        await carry_out_all(audit.container)
        assert (await state(audit, tenant, identifier))["completed_time"] is None
    await carry_out_all(audit.container)
    assert await found(audit, person.user_name) == set()
    done = await state(audit, tenant, identifier)
    assert (done["entries"], done["parts"]) == (100, 101)


async def test_two_workers_that_erase_the_same_person_count_and_complete_once(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant, person = new_tenant(), Person()
    await audit.record([make_event(tenant=tenant, subject=f"users/{person.id}") for _ in range(50)])
    identifier = await ask(audit, tenant, person.id)
    await asyncio.gather(*(carry_out_all(audit.container) for _ in range(3)))
    assert (await state(audit, tenant, identifier))["entries"] == 50
    assert [event.action for event in await audit.service.outbox(tenant)] == [
        "audit.erasure.requested",
        "audit.erasure.completed",
    ]


@pytest.mark.slow  # as long as autovacuum_naptime
async def test_no_dead_row_with_what_was_erased_is_left(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, person = new_tenant(), Person()
    await audit.record([make_event(tenant=tenant, subject=f"users/{person.id}") for _ in range(50)])
    await ask(audit, tenant, person.id)
    async with audit.container.database.connection() as connection:
        before = await connection.fetchval("SELECT now()")
        await carry_out_all(audit.container)

        async def is_vacuumed() -> bool:
            row = await connection.fetchrow(
                "SELECT last_autovacuum > $1 AS is_new, n_dead_tup FROM pg_stat_user_tables"
                " WHERE relid = 'personal_parts'::regclass",
                before,
            )
            return row is not None and bool(row["is_new"]) and row["n_dead_tup"] == 0

        await eventually(is_vacuumed, "autovacuum of personal_parts", 40)


async def test_a_vacuum_that_has_begun_before_ends_before_parts_are_removed(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant, person = new_tenant(), Person()
    await audit.record([make_event(tenant=tenant, subject=f"users/{person.id}")])
    identifier = await ask(audit, tenant, person.id)
    async with audit.owner.database.transaction() as connection:
        await connection.execute("LOCK TABLE personal_parts IN SHARE UPDATE EXCLUSIVE MODE")  # as VACUUM does
        erasing = asyncio.ensure_future(carry_out_all(audit.container))
        await somebody_waits(connection, "erase_parts")
        assert (await state(audit, tenant, identifier))["completed_time"] is None
    await erasing
    assert (await state(audit, tenant, identifier))["parts"] == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE personal_parts SET changes = '{}' WHERE tenant_id = $1",
        "UPDATE erased_parts SET erased_at = now() WHERE tenant_id = $1",
        "DELETE FROM erased_parts WHERE tenant_id = $1",
        "DELETE FROM erasures WHERE tenant_id = $1",
        "TRUNCATE erased_parts",
    ],
)
async def test_what_was_erased_stays_erased_and_known(audit: "Audit", make_event: "MakeEvent", statement: str) -> None:
    tenant, person = new_tenant(), Person()
    await audit.record([make_event(tenant=tenant, subject=f"users/{person.id}")])
    await ask(audit, tenant, person.id)
    await carry_out_all(audit.container)
    async with audit.owner.database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
            await connection.execute(statement, *([tenant] if "$1" in statement else []))


@pytest.mark.parametrize(
    "body", [{}, {"user": ""}, {"user": 5}, {"user": "x\0"}, {"user": "x" * 256}, {"user": "x", "all": 1}]
)
async def test_a_request_that_names_no_user_is_refused(audit: "Audit", body: dict[str, Any]) -> None:
    headers = audit.tokens.headers(new_tenant(), ERASE)
    answer = await audit.client.post("/audit/erasures", headers=headers, json=body)
    assert answer.status_code == 400


async def test_an_erasure_of_another_tenant_or_of_nobody_is_404(audit: "Audit") -> None:
    identifier = await ask(audit, new_tenant(), str(new_id()))
    headers = audit.tokens.headers(new_tenant(), ERASE)
    for odd in (identifier, str(new_id()), "x"):
        assert (await audit.client.get(f"/audit/erasures/{odd}", headers=headers)).status_code == 404


async def test_an_erasure_needs_its_own_scope(audit: "Audit") -> None:
    headers = audit.tokens.headers(new_tenant(), ["audit:read", "audit:export"])
    assert (await audit.client.post("/audit/erasures", headers=headers, json={"user": "x"})).status_code == 403
    assert (await audit.client.get(f"/audit/erasures/{new_id()}", headers=headers)).status_code == 403
