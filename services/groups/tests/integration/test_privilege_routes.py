"""Privileges: who may change the members of groups that carry roles."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from quartet_testing.client import GROUP, GROUPS, patch_document
from quartet_testing.faults import somebody_waits
from quartet_testing.services import RunningService, new_tenant

Headers = dict[str, str]
Change = Callable[[dict[str, str]], tuple[str, Any]]
"""Method and body of a change of the group, by the ids of who is there."""


def patched(**operation: Any) -> Change:
    """A PATCH with one operation, in which `{name}` stands for an id."""
    return lambda ids: ("PATCH", patch_document(filled(operation, ids)))


def put(*members: str) -> Change:
    """A PUT with `members`."""
    return lambda ids: (
        "PUT",
        {"schemas": [GROUP], "displayName": "g", "members": [{"value": ids[one]} for one in members]},
    )


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, ids) for one in value]
    for name, one in ids.items():
        value = value.replace(f"<{name}>", one) if isinstance(value, str) else value
    return value


CHANGES: dict[str, Change] = {
    "a user joins": patched(op="add", path="members", value=[{"value": "<stranger>"}]),
    "a user joins without path": patched(op="add", value={"members": [{"value": "<stranger>"}]}),
    "a group joins": patched(op="add", path="members", value=[{"value": "<group>"}]),
    "a user leaves": patched(op="remove", path='members[value eq "<member>"]'),
    "a group leaves": patched(op="remove", path='members[value eq "<nested>"]'),
    "all leave": patched(op="remove", path="members"),
    "others take their place": patched(op="replace", path="members", value=[{"value": "<stranger>"}]),
    "others take their place without path": patched(op="replace", value={"members": [{"value": "<stranger>"}]}),
    "others by PUT": put("stranger"),
    "more by PUT": put("member", "nested", "stranger"),
    "fewer by PUT": put("nested"),
    "nobody by PUT": put(),
    "deletion": lambda _: ("DELETE", None),
}
ORDINARY: dict[str, Change] = {
    "another name": patched(op="replace", path="displayName", value="other"),
    "an externalId": patched(op="add", value={"externalId": "x"}),
    "who is there joins": patched(op="add", path="members", value=[{"value": "<member>"}]),
    "who is not there leaves": patched(op="remove", path='members[value eq "<stranger>"]'),
    "the same by PUT": put("member", "nested"),
}


class Place:
    """A group with a user and a group in it, somebody who is not, and a group above it."""

    def __init__(self, groups: RunningService, directory: Any, tenant: str) -> None:
        self.groups = groups
        self.directory = directory
        self.tenant = tenant
        self.ids: dict[str, str] = {}

    async def build(self) -> "Place":
        for name in ("member", "stranger"):
            self.ids[name] = str(self.directory.add(self.tenant, name))
        self.ids["group"] = await self.make("stranger")  # users is not asked for somebody who is known
        self.ids["nested"] = await self.make()
        self.ids["it"] = await self.make("member", "nested")
        self.ids["above"] = await self.make("it")
        return self

    async def make(self, *members: str) -> str:
        body = {"schemas": [GROUP], "displayName": "g", "members": [{"value": self.ids[one]} for one in members]}
        status, made = await self.send(("groups:write",), "POST", GROUPS, body)
        assert status == 201, made
        return str(made["id"])

    async def carries(self, name: str, *scopes: str) -> None:
        """A group is marked, and users tells that it carries `scopes`."""
        self.directory.roles[UUID(self.ids[name])] = frozenset(scopes)
        status, marked = await self.send(("service",), "POST", "/groups/privileged", {"ids": [self.ids[name]]})
        assert (status, [one["id"] for one in marked["groups"]]) == (200, [self.ids[name]])

    async def send(self, scopes: tuple[str, ...], method: str, path: str, body: Any) -> tuple[int, Any]:
        if scopes == ("service",):
            headers = {**self.groups.tokens.headers("*", scopes, actor="quartet-users"), "Quartet-Tenant": self.tenant}
        else:
            headers = self.groups.tokens.headers(self.tenant, scopes)
        answer = await self.groups.client.open(path, method=method, headers=headers, json=body)
        sent = await answer.get_data()
        return answer.status_code, (await answer.get_json(force=True)) if sent else None

    async def change(self, change: Change, *scopes: str, of: str = "it") -> tuple[int, Any]:
        method, body = change(self.ids)
        return await self.send(scopes, method, f"{GROUPS}/{self.ids[of]}", body)

    async def shown(self) -> Any:
        return (await self.send(("groups:read",), "GET", f"{GROUPS}/{self.ids['it']}", None))[1]


@pytest.fixture
async def place(groups: RunningService, directory: Any, tenant: str) -> Place:
    """A place of the test's own."""
    return await Place(groups, directory, tenant).build()


@pytest.mark.parametrize("carrier", ["it", "above"])
@pytest.mark.parametrize("name", CHANGES)
async def test_who_lacks_a_groups_scopes_does_not_change_its_members(place: Place, name: str, carrier: str) -> None:
    await place.carries(carrier, "audit:read", "tenant:admin")
    before = await place.shown()
    status, answer = await place.change(CHANGES[name], "groups:write", "audit:read")
    assert (status, answer["status"]) == (403, "403")
    assert "holds scopes that the access token lacks: tenant:admin." in answer["detail"]
    assert await place.shown() == before
    status, answer = await place.change(CHANGES[name], "groups:write", "audit:read", "tenant:admin")
    assert status in (200, 204), answer


@pytest.mark.parametrize("name", ORDINARY)
async def test_what_changes_no_member_needs_no_scope_of_the_group(place: Place, name: str) -> None:
    await place.carries("it", "tenant:admin")
    assert (await place.change(ORDINARY[name], "groups:write"))[0] == 200
    assert place.directory.asked_for_scopes == 0


@pytest.mark.parametrize("name", CHANGES)
async def test_a_group_without_roles_asks_nobody(place: Place, name: str) -> None:
    await place.carries("nested", "tenant:admin")  # the roles of a group are not those of a group above it
    place.directory.away = True
    status, answer = await place.change(CHANGES[name], "groups:write")
    assert status in (200, 204), answer
    assert place.directory.asked_for_scopes == 0


async def test_members_of_a_marked_group_are_not_changed_while_users_does_not_answer(place: Place) -> None:
    await place.carries("it", "audit:read")
    place.directory.away = True
    before = await place.shown()
    assert (await place.change(CHANGES["a user joins"], "groups:write", "audit:read"))[0] == 503
    assert await place.shown() == before


async def test_a_group_with_roles_is_nested_by_who_has_the_scopes_above_it_only(place: Place) -> None:
    await place.carries("group", "tenant:admin")
    nests = patched(op="add", path="members", value=[{"value": "<it>"}])
    assert (await place.change(nests, "groups:write", of="group"))[0] == 403
    nests = patched(op="add", path="members", value=[{"value": "<group>"}])
    assert (await place.change(nests, "groups:write", of="it"))[0] == 200
    assert (await place.change(CHANGES["a user leaves"], "groups:write"))[0] == 200


@pytest.mark.parametrize("name", CHANGES)
async def test_an_operation_of_a_bulk_has_the_scopes_of_its_sender(place: Place, name: str) -> None:
    await place.carries("it", "tenant:admin")
    method, data = CHANGES[name](place.ids)
    operation = {"method": method, "id": place.ids["it"], "data": data}
    before = await place.shown()
    for scopes in (None, [], ["groups:write", "service"]):
        body = {"operations": [operation], **({} if scopes is None else {"scopes": scopes})}
        status, answer = await place.send(("service",), "POST", "/groups/bulk", body)
        assert (status, [one["status"] for one in answer["results"]]) == (200, [403])
        assert "tenant:admin" in answer["results"][0]["error"]["detail"]
    assert await place.shown() == before
    allowed = {"operations": [operation], "scopes": ["groups:write", "tenant:admin"]}
    status, answer = await place.send(("service",), "POST", "/groups/bulk", allowed)
    assert [one["status"] for one in answer["results"]] in ([200], [204])


async def test_a_provisioning_client_writes_every_group_of_a_tenant_and_none_of_the_platform(place: Place) -> None:
    await place.carries("it", "tenant:admin")
    join = CHANGES["a user joins"]
    assert (await place.change(join, "groups:write", "privileged:write"))[0] == 200
    await place.carries("it", "tenant:admin", "platform:admin")
    leave = CHANGES["a user leaves"]
    status, answer = await place.change(leave, "groups:write", "privileged:write")
    assert (status, "lacks: platform:admin." in answer["detail"]) == (403, True)


async def test_refusals_are_recorded_in_the_tenants_log(place: Place) -> None:
    await place.carries("it", "audit:read", "tenant:admin")
    await place.change(CHANGES["a user joins"], "groups:write")
    operation = {"method": "DELETE", "id": place.ids["it"]}
    await place.send(("service",), "POST", "/groups/bulk", {"operations": [operation], "scopes": ["groups:write"]})
    published = [
        one for one in await place.groups.outbox(place.tenant) if one.routing_key == "groups.request.refused.v1"
    ]
    assert [(one.data["scope"], one.data["path"]) for one in published] == [
        ("audit:read tenant:admin", f"{GROUPS}/{place.ids['it']}"),
        ("audit:read tenant:admin", "/groups/bulk"),
    ]


async def test_an_unknown_user_and_a_role_at_once_are_both_asked_for(place: Place) -> None:
    await place.carries("it", "audit:read")
    place.ids["stranger"] = str(place.directory.add(place.tenant, "late"))
    assert (await place.change(CHANGES["a user joins"], "groups:write"))[0] == 403
    place.ids["stranger"] = str(place.directory.add(place.tenant, "later"))
    assert (await place.change(CHANGES["a user joins"], "groups:write", "audit:read"))[0] == 200


async def age(place: Place, by: timedelta) -> None:
    async with place.groups.container.database.transaction() as connection:
        await connection.execute(
            "UPDATE privileged_groups SET marked_at = marked_at - $2::interval WHERE tenant_id = $1", place.tenant, by
        )


async def test_a_group_whose_roles_were_revoked_asks_nobody_after_a_while(place: Place) -> None:
    await place.carries("it", "audit:read")
    place.directory.roles.clear()
    asked = []
    for name, aged in (("a user joins", 0), ("a user leaves", 2), ("a group joins", 0)):
        await age(place, timedelta(hours=aged))
        assert (await place.change(CHANGES[name], "groups:write"))[0] == 200
        asked.append(place.directory.asked_for_scopes)
    assert asked == [1, 2, 2], "the mark of a new grant stays, an old one without roles goes"


async def test_only_services_mark_and_only_groups_of_the_tenant_are_marked(place: Place) -> None:
    for scopes in (("groups:write",), ("tenant:admin",)):
        assert (await place.send(scopes, "POST", "/groups/privileged", {"ids": []}))[0] == 403
    stranger = Place(place.groups, place.directory, new_tenant())
    ids = [place.ids["it"], place.ids["member"], str(uuid4())]
    assert await stranger.send(("service",), "POST", "/groups/privileged", {"ids": ids}) == (200, {"groups": []})
    marked = {"groups": [{"id": place.ids["it"], "displayName": "g"}]}
    assert await place.send(("service",), "POST", "/groups/privileged", {"ids": ids}) == (200, marked)
    assert (await place.send(("service",), "POST", "/groups/privileged", {"ids": ["x"]}))[0] == 400


async def test_a_thousand_groups_are_marked_at_once(place: Place) -> None:
    ids = [place.ids["it"], *(str(uuid4()) for _ in range(999))]
    marked = {"groups": [{"id": place.ids["it"], "displayName": "g"}]}
    assert await place.send(("service",), "POST", "/groups/privileged", {"ids": ids}) == (200, marked)


async def test_a_group_that_is_deleted_meanwhile_keeps_no_other_from_being_marked(place: Place) -> None:
    ids = [place.ids["it"], place.ids["above"]]
    async with place.groups.container.database.transaction() as connection:
        await connection.execute("DELETE FROM groups WHERE tenant_id = $1 AND id = $2", place.tenant, UUID(ids[0]))
        marking = asyncio.create_task(place.send(("service",), "POST", "/groups/privileged", {"ids": ids}))
        await somebody_waits(connection, "INTO privileged_groups")
    assert await marking == (200, {"groups": [{"id": ids[1], "displayName": "g"}]})
