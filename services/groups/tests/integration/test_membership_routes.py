"""Questions about memberships over HTTP, on the real PostgreSQL and Redis."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import new_id
from quartet_testing.services import new_tenant

PROBLEM = "application/problem+json"


async def test_a_check_tells_direct_members_from_indirect_ones_by_the_shortest_way(own: Any, directory: Any) -> None:
    user, other = directory.add(own.tenant), directory.add(own.tenant)
    team = await own.make(user, name="team")
    unit = await own.make(team, name="unit")
    branch = await own.make(unit, name="branch")
    everyone = await own.make(branch, team, name="everyone")
    assert await own.check(user, team) == (True, True, ["team"])
    assert await own.check(user, branch) == (True, False, ["team", "unit", "branch"])
    assert await own.check(user, everyone) == (True, False, ["team", "everyone"])
    assert await own.check(other, everyone) == (False, False, [])
    path = (await own.asked("check", user=str(user), group=str(unit)))["path"]
    assert path == [{"value": str(team), "display": "team"}, {"value": str(unit), "display": "unit"}]
    assert await own.groups_of(user) == {team: True, unit: False, branch: False, everyone: False}


async def test_odd_and_unknown_ids_are_simply_no_members(own: Any, directory: Any) -> None:
    user, group = directory.add(own.tenant), await own.make()
    for odd in ("nobody", "ü", str(new_id()), "0" * 36, str(group)):
        assert await own.check(odd, group) == (False, False, [])
        assert await own.check(user, odd) == (False, False, [])
        assert await own.asked(f"of/{odd}") == {"groups": [], "next": None}


async def test_a_batch_is_answered_in_order_and_like_single_checks(own: Any, directory: Any) -> None:
    users = [directory.add(own.tenant) for _ in range(5)]
    made: list[UUID] = []
    chance = random.Random(1)  # noqa: S311  # the same graph each time
    for _ in range(12):
        members = [*chance.sample(users, 2), *chance.sample(made, min(len(made), 2))]
        made.append(await own.make(*members, name=f"g{len(made)}"))
    pairs = [(user, group) for user in [*users, new_id(), "nobody"] for group in [*made, "nothing"]]
    found = await own.check_many(pairs * 10)
    assert [(one["user"], one["group"]) for one in found] == [(str(user), str(group)) for user, group in pairs * 10]
    for pair, one in zip(pairs, found, strict=False):
        assert await own.check(*pair) == (one["member"], one["direct"], [step["display"] for step in one["path"]])


async def test_a_check_agrees_with_a_walk_through_the_members(own: Any, directory: Any) -> None:
    chance = random.Random(2)  # noqa: S311  # the same graph each time
    user = directory.add(own.tenant)
    made: list[UUID] = []
    for _ in range(15):
        some = [*([user] if chance.random() < 0.2 else []), *chance.sample(made, min(len(made), 2))]
        made.append(await own.make(*some))
    members = {group: await own.members(group) for group in made}

    def contains(group: UUID) -> bool:
        return user in members[group] or any(contains(one) for one in members[group] if one in members)

    found = await own.check_many([(user, group) for group in made])
    assert [one["member"] for one in found] == [contains(group) for group in made]
    assert await own.groups_of(user) == {group: user in members[group] for group in made if contains(group)}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("check", {}),
        ("check", {"user": "x"}),
        ("check", {"user": "", "group": "x"}),
        ("check", {"user": "x", "group": "y", "more": "z"}),
        ("check", {"user": "x" * 1025, "group": "y"}),
        ("of/x", {"count": "0"}),
        ("of/x", {"count": "1001"}),
        ("of/x", {"count": "ten"}),
        ("of/x", {"cursor": "nonsense"}),
        ("of/x", {"limit": "3"}),
    ],
)
async def test_a_parameter_that_makes_no_sense_is_named(own: Any, path: str, query: dict[str, str]) -> None:
    answer = await own.ask(path, **query)
    assert (answer.status_code, answer.content_type) == (400, PROBLEM)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"checks":[]}', b'{"checks":{}}', b'{"checks":[1]}', b'{"checks":[{"user":"x"}]}',
        b'{"checks":[{"user":1,"group":"x"}]}', b'{"checks":[{"user":"","group":"x"}]}', b"\xff",
        b'{"checks":[{"user":"\\ud800","group":"x"}]}', b"[" * 5000,
        b'{"checks":[' + b",".join([b'{"user":"x","group":"y"}'] * 1001) + b"]}",
    ],
)  # fmt: skip
async def test_a_batch_that_makes_no_sense_is_refused(own: Any, body: bytes) -> None:
    headers = {**own.headers, "Content-Type": "application/json"}
    answer = await own.service.client.post("/groups/check", headers=headers, data=body)
    assert (answer.status_code, answer.content_type) == (400, PROBLEM)


async def test_members_are_paged_users_first_and_each_once(own: Any, directory: Any) -> None:
    users = sorted([directory.add(own.tenant) for _ in range(5)])
    nested = [await own.make() for _ in range(4)]
    group = await own.make(*users, *nested)
    whole = (await own.read(group))["members"]
    for count in (1, 2, 3, 9, 100):
        seen: list[Any] = []
        query = {"count": str(count)}
        while True:
            page = await own.asked(f"{group}/members", **query)
            assert len(page["members"]) == min(count, 9 - len(seen))
            seen += page["members"]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert seen == whole
    assert await own.asked(f"{await own.make()}/members") == {"members": [], "next": None}


async def test_groups_of_a_user_are_paged_each_once(own: Any, directory: Any) -> None:
    user = directory.add(own.tenant)
    made = [await own.make(user)]
    for _ in range(6):
        made.append(await own.make(made[-1]))
    seen, query = [], {"count": "3"}
    while True:
        page = await own.asked(f"of/{user}", **query)
        seen += [UUID(one["value"]) for one in page["groups"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == sorted(made)
    root = f"{own.service.container.config.issuer}/scim/v2/Groups"
    [first] = (await own.asked(f"of/{user}", count="1"))["groups"]
    assert first == {"value": str(made[0]), "display": "g", "direct": True, "$ref": f"{root}/{made[0]}"}


async def test_a_cursor_leads_on_in_its_own_group_and_tenant_only(own: Any, directory: Any) -> None:
    users = [directory.add(own.tenant) for _ in range(2)]
    one, two = await own.make(*users), await own.make(*users)
    cursor = (await own.asked(f"{one}/members", count="1"))["next"]
    for path in (f"{two}/members", f"of/{users[0]}"):
        assert (await own.ask(path, cursor=cursor)).status_code == 400


async def test_members_of_a_missing_group_are_not_found(own: Any, directory: Any) -> None:
    foreign = own.at(new_tenant())
    group = await foreign.make(directory.add(foreign.tenant))
    for unknown in (group, new_id(), "nothing"):
        answer = await own.ask(f"{unknown}/members")
        assert (answer.status_code, answer.content_type) == (404, PROBLEM)


async def test_what_was_answered_is_true_of_the_next_check_whoever_else_writes(own: Any, directory: Any) -> None:
    """Each writer owns one edge, so after each of its writes it knows what a check must say; the others disturb."""
    users = [directory.add(own.tenant) for _ in range(6)]
    inner = [await own.make(user) for user in users]
    outer = await own.make(*inner[:3])

    async def write(place: int) -> None:
        edge, is_direct = (users[place], True) if place >= 3 else (inner[place], False)
        for turn in range(12):
            op = "add" if turn % 2 else "remove"
            answer = await own.patch(outer, op, edge)
            assert answer.status_code == 200
            found = await own.check_many([(users[place], outer), (users[place], inner[place])])
            assert [one["member"] for one in found] == [op == "add", True]
            assert await own.check(users[place], outer) == await own.check(users[place], outer)
            assert (outer in await own.groups_of(users[place])) == (op == "add")
            assert found[0]["direct"] == (op == "add" and is_direct)

    await asyncio.gather(*(write(place) for place in range(6)))
