"""The internal route of Bulk: group operations, as the users service hands them on."""

from typing import Any

import pytest

from quartet_common.core.identifiers import new_id
from quartet_testing.client import group_document, patch_document
from quartet_testing.services import RunningService, new_tenant

Headers = dict[str, str]
Operation = dict[str, Any]


@pytest.fixture
def service(groups: RunningService, tenant: str) -> Headers:
    """The token of the users service, on behalf of somebody of the tenant."""
    return named(groups, tenant)


def named(groups: RunningService, tenant: str) -> Headers:
    token = groups.tokens.headers("*", ["service"], actor="quartet-users")
    return {**token, "Quartet-Tenant": tenant, "Quartet-Actor": "hr-sync"}


def post(*members: Any, **attributes: Any) -> Operation:
    return {"method": "POST", "id": str(new_id()), "data": group_document(map(str, members), **attributes)}


async def sent(groups: RunningService, headers: Headers, *operations: Operation, **others: Any) -> list[dict[str, Any]]:
    answer = await groups.client.post("/groups/bulk", headers=headers, json={"operations": operations, **others})
    document = await answer.get_json(force=True)
    assert answer.status_code == 200, document
    found: list[dict[str, Any]] = document["results"]
    return found


def statuses(results: list[dict[str, Any]]) -> list[int]:
    return [one["status"] for one in results]


async def read(groups: RunningService, headers: Headers, operation: Operation) -> dict[str, Any]:
    answer = await groups.client.get(f"/scim/v2/Groups/{operation['id']}", headers=headers)
    document: dict[str, Any] = await answer.get_json(force=True)
    return document


async def test_groups_are_made_changed_and_deleted_in_the_name_of_the_caller(
    groups: RunningService, service: Headers, headers: Headers, tenant: str, directory: Any
) -> None:
    user, other = directory.add(tenant), directory.add(tenant, "Mandy")
    made, gone = post(user), post()
    join = patch_document({"op": "add", "path": "members", "value": [{"value": str(other)}]})
    results = await sent(
        groups,
        service,
        made,
        gone,
        {"method": "PATCH", "id": made["id"], "data": join, "version": 'W/"1"'},
        {"method": "PUT", "id": made["id"], "data": group_document([str(other)], displayName="Guides")},
        {"method": "DELETE", "id": gone["id"]},
    )
    assert [(one["status"], one["version"]) for one in results] == [
        (201, 1), (201, 1), (200, 2), (200, 3), (204, None),
    ]  # fmt: skip
    found = await read(groups, headers, made)
    assert [member["value"] for member in found["members"]] == [str(other)]
    assert (found["displayName"], found["meta"]["version"]) == ("Guides", 'W/"3"')
    assert {event.actorid for event in await groups.outbox(tenant)} == {"hr-sync"}


async def test_when_the_time_is_over_nothing_more_is_begun(groups: RunningService, service: Headers) -> None:
    assert statuses(await sent(groups, service, post(), post(), seconds=-1)) == [503, 503]
    assert statuses(await sent(groups, service, post(), seconds=60)) == [201]


async def test_each_operation_has_its_own_error(
    groups: RunningService, service: Headers, headers: Headers, tenant: str, directory: Any
) -> None:
    made = post()
    results = await sent(
        groups,
        service,
        post(new_id()),
        {**post(), "data": {"schemas": []}},
        {**post(), "data": None},
        made,
        {"method": "PATCH", "id": made["id"], "version": 'W/"9"', "data": patch_document({"op": "remove"})},
        {"method": "PUT", "id": made["id"], "version": 'W/"9"', "data": group_document()},
        {"method": "PUT", "id": made["id"], "version": "9", "data": group_document()},
        {"method": "DELETE", "id": "nobody"},
    )
    assert statuses(results) == [400, 400, 400, 201, 400, 412, 400, 404]
    kinds = [None if one["error"] is None else one["error"].get("scimType") for one in results]
    assert kinds == [
        "invalidValue", "invalidSyntax", "invalidSyntax", None, "noTarget", None, "invalidVers", None,
    ]  # fmt: skip


async def test_it_ends_at_the_last_error_that_is_accepted(
    groups: RunningService, service: Headers, directory: Any
) -> None:
    bad = {"method": "DELETE", "id": "nobody"}
    results = await sent(groups, service, bad, post(), bad, post(), failOnErrors=2)
    assert statuses(results) == [404, 201, 404]


async def test_users_are_asked_once_for_all_whom_the_operations_name(
    groups: RunningService, service: Headers, tenant: str, directory: Any
) -> None:
    users = [directory.add(tenant) for _ in range(3)]
    join = patch_document({"op": "add", "path": "members", "value": [{"value": str(users[2])}]})
    first = post(users[0], users[1])
    results = await sent(groups, service, first, post(users[1]), {"method": "PATCH", "id": first["id"], "data": join})
    assert (statuses(results), directory.asked) == ([201, 201, 200], 1)


async def test_a_group_may_be_nested_in_one_of_the_same_message(
    groups: RunningService, service: Headers, headers: Headers, directory: Any
) -> None:
    inner = post()
    outer = post(inner["id"])
    nest = patch_document({"op": "add", "path": "members", "value": [{"value": outer["id"]}]})
    results = await sent(groups, service, inner, outer, {"method": "PATCH", "id": inner["id"], "data": nest})
    assert statuses(results) == [201, 201, 400]
    assert [member["type"] for member in (await read(groups, headers, outer))["members"]] == ["Group"]


async def test_without_the_users_service_only_what_needs_it_is_503(
    groups: RunningService, service: Headers, directory: Any
) -> None:
    directory.away = True
    assert statuses(await sent(groups, service, post(new_id()), post())) == [503, 201]


async def test_another_tenants_groups_and_users_are_out_of_reach(
    groups: RunningService, service: Headers, headers: Headers, tenant: str, directory: Any
) -> None:
    user = directory.add(tenant)
    made = post(user)
    await sent(groups, service, made)
    results = await sent(
        groups,
        named(groups, new_tenant()),
        post(user),
        {"method": "PUT", "id": made["id"], "data": group_document()},
        {"method": "DELETE", "id": made["id"]},
    )
    assert statuses(results) == [400, 404, 404]
    assert [member["value"] for member in (await read(groups, headers, made))["members"]] == [str(user)]


async def test_a_customer_cannot_call_it(groups: RunningService, headers: Headers) -> None:
    answer = await groups.client.post("/groups/bulk", headers=headers, json={"operations": []})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"operations":1}',
        b'{"operations":[{"method":"GET","id":"x"}]}',
        b'{"operations":[{"method":"POST"}]}',
        b"\xff",
        b"[" * 100_000,
        b'{"operations":[' + b",".join([b'{"method":"DELETE","id":"x"}'] * 1001) + b"]}",
    ],
)
async def test_what_is_no_list_of_operations_is_refused(groups: RunningService, service: Headers, body: bytes) -> None:
    json = {**service, "Content-Type": "application/json"}
    answer = await groups.client.post("/groups/bulk", headers=json, data=body)
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
