"""What user events do to groups, on the real PostgreSQL."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import dispatch
from quartet_groups import group_store
from quartet_groups.subscriptions import subscriptions
from quartet_testing.services import RunningService

CORE = "urn:ietf:params:scim:schemas:core:2.0:Group"

Headers = dict[str, str]


def published(kind: str, tenant: str, user: UUID, sequence: int, name: str = "Babs", actor: str = "hr-sync") -> Event:
    data = {"id": str(user), "userName": f"{name}@example.com", "displayName": name, "active": True, "more": 1}
    return Event(
        id=new_id(), source="/users", type=f"quartet.users.user.{kind}.v1", subject=f"users/{user}",
        time=datetime.now(UTC), tenantid=tenant, actorid=actor, sequence=sequence, data=data, sourceip="192.0.2.7",
        actorname="HR", actortype="client", useragent="hr/1.0",
    )  # fmt: skip


async def receive(groups: RunningService, events: Sequence[Event]) -> None:
    async with groups.container.database.transaction() as connection:
        await dispatch(connection, subscriptions(groups.container), events)


async def create(groups: RunningService, headers: Headers, *members: UUID, name: str = "g") -> str:
    body = {"schemas": [CORE], "displayName": name, "members": [{"value": str(one)} for one in members]}
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=body)
    assert response.status_code == 201, await response.get_data()
    return str((await response.get_json(force=True))["id"])


async def read(groups: RunningService, headers: Headers, group: str) -> dict[str, Any]:
    found: dict[str, Any] = await (await groups.client.get(f"/scim/v2/Groups/{group}", headers=headers)).get_json(
        force=True
    )
    return found


async def test_a_user_that_was_told_of_needs_no_question(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    user = new_id()
    await receive(groups, [published("created", tenant, user, 1)])
    await create(groups, headers, user)
    assert directory.asked == 0


async def test_a_new_name_shows_on_all_groups(groups: RunningService, headers: Headers, tenant: str) -> None:
    user = new_id()
    await receive(groups, [published("created", tenant, user, 1)])
    group = await create(groups, headers, user)
    await receive(groups, [published("updated", tenant, user, 2, "Barbara")])
    assert (await read(groups, headers, group))["members"][0]["display"] == "Barbara"


async def test_older_news_than_what_is_known_is_ignored(groups: RunningService, headers: Headers, tenant: str) -> None:
    user = new_id()
    await receive(groups, [published("updated", tenant, user, 3, "New")])
    group = await create(groups, headers, user)
    await receive(
        groups, [published("updated", tenant, user, 2, "Old"), published("created", tenant, user, 1, "Oldest")]
    )
    assert (await read(groups, headers, group))["members"][0]["display"] == "New"


async def test_a_batch_out_of_order_leaves_the_newest(groups: RunningService, headers: Headers, tenant: str) -> None:
    user = new_id()
    await receive(groups, [published("updated", tenant, user, 3, "New"), published("updated", tenant, user, 2, "Old")])
    group = await create(groups, headers, user)
    assert (await read(groups, headers, group))["members"][0]["display"] == "New"


async def test_a_deleted_user_leaves_all_groups_in_the_deleters_name(
    groups: RunningService, headers: Headers, tenant: str
) -> None:
    user, other = new_id(), new_id()
    await receive(groups, [published("created", tenant, one, 1) for one in (user, other)])
    both, alone, without = (
        await create(groups, headers, user, other), await create(groups, headers, user), await create(groups, headers)
    )  # fmt: skip
    before = len(await groups.outbox(tenant))
    await receive(groups, [published("deleted", tenant, user, 2, actor="offboarding")])
    assert [member["value"] for member in (await read(groups, headers, both))["members"]] == [str(other)]
    assert "members" not in await read(groups, headers, alone)
    versions = {group: (await read(groups, headers, group))["meta"]["version"] for group in (both, alone, without)}
    assert versions == {both: 'W/"2"', alone: 'W/"2"', without: 'W/"1"'}
    events = (await groups.outbox(tenant))[before:]
    assert {event.routing_key for event in events} == {"groups.membership.removed.v1"}
    assert {event.data["id"] for event in events} == {both, alone}
    assert {event.caller for event in events} == {
        Caller(tenant, "offboarding", "192.0.2.7", actor_name="HR", actor_type="client", user_agent="hr/1.0")
    }


async def test_a_deleted_user_cannot_become_a_member_again(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    user = directory.add(tenant)  # the users service still answers for it, as a late reply would
    await receive(groups, [published("deleted", tenant, user, 2)])
    body = {"schemas": [CORE], "displayName": "g", "members": [{"value": str(user)}]}
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=body)
    assert response.status_code == 400


async def test_several_deletions_in_one_batch_count_each_group_right(
    groups: RunningService, headers: Headers, tenant: str
) -> None:
    users = [new_id() for _ in range(4)]
    await receive(groups, [published("created", tenant, one, 1) for one in users])
    group = await create(groups, headers, *users)
    others = published("deleted", tenant, users[2], 2, actor="boss")
    await receive(groups, [published("deleted", tenant, one, 2) for one in users[:2]] + [others])
    found = await read(groups, headers, group)
    assert [member["value"] for member in found["members"]] == [str(users[3])]
    removed = [event for event in await groups.outbox(tenant) if event.type.endswith("removed.v1")]
    assert sorted(event.sequence for event in removed) == [2, 3]
    assert {event.actorid: len(event.data["members"]) for event in removed} == {"hr-sync": 2, "boss": 1}
    assert found["meta"]["version"] == 'W/"3"'


async def test_a_batch_locks_users_once_so_that_two_cannot_block_each_other(
    groups: RunningService, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[list[UUID]] = []
    learn = group_store.upsert_users

    async def noted(connection: Any, tenant: str, users: Sequence[tuple[UUID, str, int, bool]]) -> None:
        learnt.append([user[0] for user in users])
        await learn(connection, tenant, users)

    monkeypatch.setattr(group_store, "upsert_users", noted)
    one, two = new_id(), new_id()
    created = [published("created", tenant, user, 1) for user in (two, one)]
    await receive(groups, [*created, published("updated", tenant, one, 2), published("deleted", tenant, two, 2)])
    assert [sorted(users) for users in learnt] == [sorted([one, two])]


async def test_a_user_that_is_added_while_it_is_deleted_is_no_member_in_the_end(
    groups: RunningService, headers: Headers, tenant: str
) -> None:
    for _ in range(10):
        user = new_id()
        await receive(groups, [published("created", tenant, user, 1)])
        group = await create(groups, headers)
        body = {"schemas": [CORE], "displayName": "g", "members": [{"value": str(user)}]}
        answer, _ = await asyncio.gather(
            groups.client.put(f"/scim/v2/Groups/{group}", headers=headers, json=body),
            receive(groups, [published("deleted", tenant, user, 2)]),
        )
        assert answer.status_code in {200, 400}
        assert "members" not in await read(groups, headers, group)


async def test_news_without_what_is_needed_fail_loudly(groups: RunningService, tenant: str) -> None:
    broken = msgspec.structs.replace(published("created", tenant, new_id(), 1), data={"id": "x"})
    with pytest.raises(msgspec.ValidationError):
        await receive(groups, [broken])
