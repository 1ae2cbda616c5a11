"""Groups as members of groups over HTTP, on the real PostgreSQL."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_groups import group_store, member_resolution
from quartet_groups.member_domain import SentMember
from quartet_groups.nesting_domain import MAX_LEVELS
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

ADDED, REMOVED = "groups.nesting.added.v1", "groups.nesting.removed.v1"


async def detail(answer: Any) -> str:
    """What a refusal of a member says."""
    body = await answer.get_json(force=True)
    assert (answer.status_code, body["scimType"]) == (400, "invalidValue"), body
    return str(body["detail"])


async def test_users_and_groups_are_shown_each_with_its_type_address_and_name(own: Any, directory: Any) -> None:
    user = directory.add(own.tenant, "Babs")
    inner = await own.make(name='In"ner')
    outer = await own.make(inner, user)
    root = f"{own.service.container.config.issuer}/scim/v2"
    assert (await own.read(outer))["members"] == [
        {"value": str(user), "$ref": f"{root}/Users/{user}", "type": "User", "display": "Babs"},
        {"value": str(inner), "$ref": f"{root}/Groups/{inner}", "type": "Group", "display": 'In"ner'},
    ]
    assert directory.asked == 1
    assert (await own.published())[1:] == [
        ("groups.group.created.v1", str(outer), 1),
        ("groups.membership.added.v1", str(outer), 1),
        (ADDED, str(outer), 1),
    ]
    [*_, nesting] = await own.service.outbox(own.tenant)
    assert nesting.data["groups"] == [{"value": str(inner), "display": 'In"ner'}]


async def test_a_type_may_be_of_any_case_and_missing(own: Any, directory: Any) -> None:
    user, inner, other = directory.add(own.tenant), await own.make(), await own.make()
    kinds = [(user, "uSER"), (inner, "GROUP")]
    outer = await own.make(*({"value": str(one), "type": kind} for one, kind in kinds), {"value": str(other)})
    assert await own.members(outer) == {user, inner, other}


async def test_a_wrong_type_is_refused_with_the_place_of_the_member(own: Any, directory: Any) -> None:
    user, inner = directory.add(own.tenant), await own.make()
    await own.make(user)
    outer = await own.make()
    for one, kind, real in ((user, "Group", "User"), (inner, "User", "Group")):
        answer = await own.put(outer, {"value": str(one), "type": kind})
        assert await detail(answer) == f"members[0].type: {one} is a {real}."
    unknown = {"value": str(new_id()), "type": "Group"}
    before = directory.asked
    assert "no group has the id" in await detail(await own.put(outer, unknown))
    assert directory.asked == before, "a group is not asked for at users"


async def test_a_group_of_another_tenant_is_nobody(own: Any, directory: Any) -> None:
    foreign = await own.at(new_tenant()).make()
    outer = await own.make()
    for sent in (foreign, {"value": str(foreign), "type": "Group"}):
        assert str(foreign) in await detail(await own.patch(outer, "add", sent))


async def test_nested_groups_come_and_go_by_all_verbs(own: Any, directory: Any) -> None:
    user = directory.add(own.tenant)
    one, two, three = [await own.make(name=name) for name in ("one", "two", "three")]
    outer = await own.make(one, user)
    assert (await own.patch(outer, "add", two, three)).status_code == 200
    assert await own.members(outer) == {user, one, two, three}
    assert (await own.patch(outer, "remove", path=f'members[value eq "{one}"]')).status_code == 200
    assert (await own.patch(outer, "remove", {"value": str(two), "type": "Group"})).status_code == 200
    assert await own.members(outer) == {user, three}
    assert (await own.patch(outer, "replace", one)).status_code == 200
    assert await own.members(outer) == {one}
    assert (await own.put(outer, two, user)).status_code == 200
    assert await own.members(outer) == {two, user}
    assert (await own.patch(outer, "remove")).status_code == 200
    assert await own.members(outer) == set()
    nestings = [
        (kind, version) for kind, group, version in await own.published() if group == str(outer) and "nest" in kind
    ]
    steps = [(ADDED, 1), (ADDED, 2), (REMOVED, 3), (REMOVED, 4), (ADDED, 5), (REMOVED, 5), (ADDED, 6), (REMOVED, 6)]
    assert nestings == [*steps, (REMOVED, 7)]


async def test_adding_a_nested_group_again_or_removing_a_stranger_is_no_change(own: Any) -> None:
    inner, stranger = await own.make(), await own.make()
    outer = await own.make(inner)
    before = await own.published()
    assert (await own.patch(outer, "add", inner)).status_code == 200
    assert (await own.patch(outer, "remove", stranger)).status_code == 200
    assert (await own.put(outer, inner)).status_code == 200
    assert (await own.read(outer))["meta"]["version"] == 'W/"1"'
    assert await own.published() == before


async def test_groups_are_found_by_their_nested_groups(own: Any, directory: Any) -> None:
    user, inner = directory.add(own.tenant), await own.make()
    outer, users_only = await own.make(inner), await own.make(user)
    assert await own.found(f'members.value eq "{inner}"') == {outer}
    assert await own.found('members.type eq "group"') == {outer}
    assert await own.found(f'members[value eq "{inner}" and type eq "Group"]') == {outer}
    assert await own.found(f'members[value eq "{inner}" and type eq "User"]') == set()
    assert await own.found("members pr") == {outer, users_only}
    assert await own.found("not (members pr)") == {inner}


async def test_a_cycle_is_refused_however_long_it_is_and_by_every_verb(own: Any) -> None:
    inner = await own.make(name="inner")
    middle = await own.make(inner, name="middle")
    outer = await own.make(middle, name="outer")
    for group in (inner, middle, outer):
        assert str(group) in await detail(await own.patch(group, "add", group))
    way = f"outer ({outer}) > middle ({middle}) > inner ({inner})"
    for answer in (await own.patch(inner, "add", outer), await own.put(inner, outer)):
        assert way in await detail(answer)
    assert "version" not in await detail(await own.patch(middle, "add", outer))
    assert await own.members(inner) == set()


async def test_a_replacement_may_turn_a_nesting_round_once_the_old_one_is_gone(own: Any) -> None:
    inner = await own.make()
    outer = await own.make(inner)
    assert (await own.put(outer)).status_code == 200
    assert (await own.put(inner, outer)).status_code == 200


async def test_groups_nest_so_deep_and_no_deeper(own: Any) -> None:
    chain = [await own.make()]
    for _ in range(MAX_LEVELS - 1):
        chain.append(await own.make(chain[-1]))
    for answer in (await own.put(await own.make(), chain[-1]), await own.put(chain[0], await own.make())):
        assert "50 levels" in await detail(answer)
    loose = await own.make(await own.make())
    assert "50 levels" in await detail(await own.patch(chain[1], "add", loose))
    assert (await own.patch(chain[2], "add", loose)).status_code == 200


async def test_many_ways_through_the_graph_cost_nothing(own: Any) -> None:
    below = [await own.make() for _ in range(2)]
    for _ in range(20):  # a million chains from the top to the bottom
        below = [await own.make(*below) for _ in range(2)]
    top = await own.make(*below)
    assert str(top) in await detail(await own.patch((await own.members(below[0])).pop(), "add", top))


async def test_writers_that_race_close_no_cycle_between_them(own: Any) -> None:
    for _ in range(5):
        ring = [await own.make() for _ in range(6)]
        pairs = [(ring[place], ring[place - 1]) for place in range(6)]
        answers = await asyncio.gather(*(own.patch(group, "add", other) for group, other in pairs))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] * 5 + [400], "all but the one that would close the ring"


async def test_a_deleted_group_leaves_the_groups_that_it_was_in(own: Any, directory: Any) -> None:
    user, innermost = directory.add(own.tenant), await own.make(name="innermost")
    inner = await own.make(innermost, user, name="inner")
    outers = [await own.make(inner, user) for _ in range(2)]
    before = len(await own.published())
    assert await own.delete(inner) == 204
    for outer in outers:
        shown = await own.read(outer)
        assert [one["value"] for one in shown["members"]] == [str(user)]
        assert shown["meta"]["version"] == 'W/"2"'
    published = (await own.published())[before:]
    assert sorted(published[:2]) == sorted((REMOVED, str(outer), 2) for outer in outers)
    assert published[2:] == [
        ("groups.membership.removed.v1", str(inner), 2),
        (REMOVED, str(inner), 2),
        ("groups.group.deleted.v1", str(inner), 2),
    ]
    assert await own.members(innermost) == set()


async def test_groups_that_are_nested_and_deleted_at_once_are_nobodys_member_in_the_end(own: Any) -> None:
    for _ in range(8):
        outer, other, inner = await own.make(), await own.make(), await own.make()
        assert (await own.patch(other, "add", inner)).status_code == 200
        *answers, deleted = await asyncio.gather(
            own.patch(outer, "add", inner), own.put(other, inner), own.patch(inner, "add", await own.make()),
            own.delete(inner),
        )  # fmt: skip
        assert deleted == 204
        assert {answer.status_code for answer in answers} <= {200, 400, 404}
        assert await own.members(outer) == await own.members(other) == set()
        balance: dict[str, int] = {}
        for event in await own.service.outbox(own.tenant):
            for nested in event.data.get("groups", ()):
                step = 1 if event.routing_key == ADDED else -1
                balance[nested["value"]] = balance.get(nested["value"], 0) + step
        assert balance[str(inner)] == 0, "each member that was published as joined was published as left"


async def test_who_deletes_a_group_waits_for_the_total_before_it_holds_the_version(own: Any) -> None:
    inner = await own.make()
    await own.make(inner)
    database = own.service.container.database
    fill = "INSERT INTO {} SELECT $1, slot, 0 FROM generate_series(0, {}) AS slot ON CONFLICT DO NOTHING"
    async with database.transaction() as connection:  # the slots of whichever connection it will be
        await connection.execute(fill.format("group_totals", 63), own.tenant)
        await connection.execute(fill.format("membership_versions", 15), own.tenant)
    async with database.transaction() as holder, database.connection() as watcher:
        await holder.execute("SELECT FROM group_totals WHERE tenant_id = $1 FOR UPDATE", own.tenant)
        deleting = asyncio.ensure_future(own.delete(inner))
        pid = await holder.fetchval("SELECT pg_backend_pid()")
        blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))"
        await eventually(lambda: watcher.fetchval(blocked, pid), "the deletion waits")
        versions = "SELECT slot FROM membership_versions WHERE tenant_id = $1 FOR UPDATE SKIP LOCKED"
        assert len(await watcher.fetch(versions, own.tenant)) == 16
    assert await deleting == 204


async def test_groups_are_held_though_a_user_beside_them_was_learnt_a_moment_ago(
    own: Any, directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, inner = directory.add(own.tenant), await own.make()
    await own.make(user)  # from here on known
    lock = group_store.lock_known

    async def late(connection: Connection, tenant: str, ids: Sequence[UUID]) -> set[UUID]:
        monkeypatch.setattr(group_store, "lock_known", lock)
        return set()

    monkeypatch.setattr(group_store, "lock_known", late)
    async with own.service.container.database.transaction() as connection:
        sent = [SentMember(user, 0, None), SentMember(inner, 1, None)]
        found = await member_resolution.lock_members(connection, own.tenant, sent, None)
        assert ([*found.users], [one.id for one in found.groups]) == ([user], [inner])
        own_locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert await connection.fetchval(own_locks) == 1


async def test_exports_hold_nested_groups(own: Any) -> None:
    inner = await own.make()
    outer = await own.make(inner)
    answer = await own.service.client.get("/groups/data/export", headers=own.headers)
    line = f'{{"group":"{outer}","value":"{inner}","type":"Group"}}'
    assert line in await answer.get_data(as_text=True)
