"""Schemas of tenants over HTTP: registered, then validated, patched, filtered, shown, and not lost by anybody."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BADGE = "urn:example:params:scim:schemas:extension:badge:2.0:User"
SCHEMA = {
    "id": BADGE,
    "name": "Badge",
    "attributes": [
        {"name": "number", "type": "integer", "required": True},
        {"name": "areas", "multiValued": True, "caseExact": True},
        {"name": "colour", "returned": "request"},
        {
            "name": "owner",
            "type": "complex",
            "subAttributes": [{"name": "value"}, {"name": "since", "type": "dateTime"}],
        },
    ],
}

Headers = dict[str, str]
Document = dict[str, Any]


@pytest.fixture(scope="session")
async def second(config_for: ConfigFor[UsersConfig], users: RunningService) -> AsyncIterator[RunningService]:
    """A second process of the service on the same database; `users` is there already."""
    async with run_service(SERVICE, config_for(UsersConfig)) as running:
        yield running


async def register(users: RunningService, headers: Headers, schema: Document = SCHEMA) -> Any:
    return await users.client.post("/users/schemas", headers=headers, json=schema)


@pytest.fixture
async def badge(users: RunningService, headers: Headers) -> str:
    """The schema is registered in the tenant."""
    assert (await register(users, headers)).status_code == 201
    return BADGE


def with_badge(name: str = "babs", **badge: Any) -> Document:
    return {"schemas": [CORE, BADGE], "userName": name, BADGE: badge}


async def create(users: RunningService, headers: Headers, document: Document) -> Document:
    response = await users.client.post("/scim/v2/Users", headers=headers, json=document)
    assert response.status_code == 201, await response.get_data()
    found: Document = await response.get_json(force=True)
    return found


async def get(users: RunningService, headers: Headers, path: str, **query: str) -> Any:
    response = await users.client.get(path, headers=headers, query_string=query)
    return response.status_code, await response.get_json(force=True)


async def test_a_schema_is_answered_whole_with_its_address(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    response = await register(users, headers)
    document = await response.get_json(force=True)
    assert response.headers["Location"] == f"{users.container.config.issuer}/users/schemas/{BADGE}"
    assert document["attributes"][0]["mutability"] == "readWrite"
    assert await get(users, headers, f"/users/schemas/{BADGE.upper()}") == (200, document)
    assert (await get(users, headers, "/users/schemas"))[1]["Resources"] == [document]
    [published] = await users.outbox(tenant)
    assert (published.routing_key, published.subject, published.sequence) == (
        "users.schema.created.v1",
        f"schemas/{BADGE}",
        1,
    )
    assert published.data == {"id": BADGE, "name": "Badge", "attributes": ["number", "areas", "colour", "owner"]}


async def test_discovery_shows_it_to_those_of_the_tenant_only(
    users: RunningService, headers: Headers, badge: str
) -> None:
    stranger = users.tokens.headers(new_tenant(), ["users:read"])
    for who, seen in ((headers, True), (stranger, False), ({}, False)):
        schemas = (await get(users, who, "/scim/v2/Schemas"))[1]["Resources"]
        assert (badge in [one["id"] for one in schemas]) is seen
        types = (await get(users, who, "/scim/v2/ResourceTypes"))[1]["Resources"]
        one_type = (await get(users, who, "/scim/v2/ResourceTypes/User"))[1]
        for shown in (types[0], one_type):
            assert (badge in [one["schema"] for one in shown["schemaExtensions"]]) is seen
        assert (await get(users, who, f"/scim/v2/Schemas/{badge}"))[0] == (200 if seen else 404)
    bad = {"Authorization": "Bearer nonsense"}
    assert (await get(users, bad, "/scim/v2/Schemas"))[0] == 401


async def test_values_are_checked_stored_and_shown(users: RunningService, headers: Headers, badge: str) -> None:
    made = await create(users, headers, with_badge(NUMBER=7, areas=["park"], colour="red", unknown=1))
    assert made["schemas"] == [CORE, badge]
    assert made[badge] == {"number": 7, "areas": ["park"]}  # the colour is returned on request
    _, shown = await get(users, headers, f"/scim/v2/Users/{made['id']}", attributes=f"{badge}:colour")
    assert shown == {"schemas": [CORE, badge], "id": made["id"], badge: {"colour": "red"}}
    wrong = await users.client.post("/scim/v2/Users", headers=headers, json=with_badge("x", number="seven"))
    assert (wrong.status_code, (await wrong.get_json(force=True))["detail"][: len(badge) + 7]) == (
        400,
        f"{badge}:number",
    )
    missing = await users.client.post("/scim/v2/Users", headers=headers, json=with_badge("x", areas=["park"]))
    assert missing.status_code == 400


async def test_another_tenant_has_no_such_attributes(users: RunningService, badge: str) -> None:
    stranger = users.tokens.headers(new_tenant(), ["users:read", "users:write"])
    made = await create(users, stranger, with_badge(number=7))
    assert (made["schemas"], badge in made) == ([CORE], False)
    status, error = await get(users, stranger, "/scim/v2/Users", filter=f"{badge}:number eq 7")
    assert (status, error["scimType"]) == (400, "invalidFilter")


async def test_values_are_patched_by_path_and_without(users: RunningService, headers: Headers, badge: str) -> None:
    made = await create(users, headers, {"schemas": [CORE], "userName": "babs"})
    for operation, expected in (
        ({"op": "add", "path": f"{badge}:number", "value": 7}, {"number": 7}),
        ({"op": "add", "value": {f"{badge}:areas": ["park"]}}, {"number": 7, "areas": ["park"]}),
        ({"op": "replace", "path": badge.lower(), "value": {"number": 8}}, {"number": 8, "areas": ["park"]}),
        ({"op": "remove", "path": f"{badge}:areas"}, {"number": 8}),
        ({"op": "remove", "path": badge}, None),
    ):
        body = {"schemas": [PATCH], "Operations": [operation]}
        response = await users.client.patch(f"/scim/v2/Users/{made['id']}", headers=headers, json=body)
        assert response.status_code == 200, await response.get_data()
        assert (await response.get_json(force=True)).get(badge) == expected


async def test_users_are_found_by_values(users: RunningService, headers: Headers, badge: str) -> None:
    one = await create(users, headers, with_badge("one", number=7, areas=["park"], owner={"value": "x"}))
    two = await create(users, headers, with_badge("two", number=12))
    for text, expected in (
        (f"{badge}:number gt 7", [two["id"]]),
        (f'{badge.upper()}:areas eq "park"', [one["id"]]),
        (f'{badge}:owner.value eq "X"', [one["id"]]),
        (f"{badge}:number pr", [one["id"], two["id"]]),
    ):
        _, found = await get(users, headers, "/scim/v2/Users", filter=text)
        assert [each["id"] for each in found["Resources"]] == expected


@pytest.mark.parametrize("urn", [BADGE, BADGE.lower(), CORE, f"{BADGE}:number", BADGE.partition(":2.0")[0]])
async def test_a_urn_that_is_taken_is_taken(users: RunningService, headers: Headers, badge: str, urn: str) -> None:
    assert badge
    response = await register(users, headers, {**SCHEMA, "id": urn})
    error = await response.get_json(force=True)
    assert response.status_code == (400 if urn == CORE else 409), error
    assert response.content_type == "application/problem+json"
    assert "id:" in error["detail"]


async def test_what_is_wrong_with_a_schema_is_said(users: RunningService, headers: Headers) -> None:
    schema = {**SCHEMA, "attributes": [{"name": "secret", "returned": "never"}]}
    response = await register(users, headers, schema)
    assert response.status_code == 400
    assert (await response.get_json(force=True))["detail"].startswith("attributes[0].returned: never is not supported")


async def test_a_tenant_has_a_limited_number_of_schemas_also_when_they_come_at_once(
    users: RunningService, headers: Headers
) -> None:
    documents = [{**SCHEMA, "id": f"urn:example:badge{number}"} for number in range(22)]
    for one in documents[:18]:
        assert (await register(users, headers, one)).status_code == 201
    answers = await asyncio.gather(*(register(users, headers, one) for one in documents[18:]))
    assert sorted(one.status_code for one in answers) == [201, 201, 400, 400]


async def test_one_of_many_that_register_a_urn_at_once_gets_it(users: RunningService, headers: Headers) -> None:
    answers = await asyncio.gather(*(register(users, headers) for _ in range(6)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 5


async def test_a_schema_goes_when_nobody_has_values_of_it(
    users: RunningService, headers: Headers, tenant: str, badge: str
) -> None:
    made = await create(users, headers, with_badge(number=7))
    path = f"/users/schemas/{badge}"
    assert (await users.client.delete(path, headers=headers)).status_code == 409
    assert (await users.client.delete(f"/scim/v2/Users/{made['id']}", headers=headers)).status_code == 204
    assert (await users.client.delete(path, headers=headers)).status_code == 204
    assert (await users.client.delete(path, headers=headers)).status_code == 404
    assert (await create(users, headers, with_badge(number=7)))["schemas"] == [CORE]
    published = [(one.routing_key, one.sequence) for one in await users.outbox(tenant) if ".schema." in one.type]
    assert published == [("users.schema.created.v1", 1), ("users.schema.deleted.v1", 2)]
    assert (await register(users, headers)).status_code == 201
    assert (await create(users, headers, with_badge("two", number=7)))[badge] == {"number": 7}


async def test_values_of_other_schemas_do_not_hold_one(users: RunningService, headers: Headers, badge: str) -> None:
    for urn in ("urn:example:a", "urn:example:b"):
        assert (await register(users, headers, {**SCHEMA, "id": urn})).status_code == 201
    value = {"number": 1}
    for number, held in enumerate(([badge], ["urn:example:b"], [badge, "urn:example:b"], [])):
        document = {"schemas": [CORE], "userName": f"u{number}", **dict.fromkeys(held, value)}
        await create(users, headers, document)
    deleted = [
        await users.client.delete(f"/users/schemas/{urn}", headers=headers)
        for urn in (badge, "urn:example:a", "urn:example:b")
    ]
    assert [one.status_code for one in deleted] == [409, 204, 409]


async def test_what_a_second_process_registered_is_known_at_once_where_it_is_named(
    users: RunningService, second: RunningService, tenant: str, headers: Headers
) -> None:
    there = second.tokens.headers(tenant, ["users:read", "users:write", "tenant:admin"])
    made = await create(users, headers, {"schemas": [CORE], "userName": "babs"})  # this process knows of no schema now
    assert (await register(second, there)).status_code == 201
    assert (await create(users, headers, with_badge("one", number=7)))[BADGE] == {"number": 7}
    for number, urn in enumerate(("urn:example:a", "urn:example:b", "urn:example:c", "urn:example:d")):
        assert (await register(second, there, {**SCHEMA, "id": urn})).status_code == 201
        if number == 0:
            body: Document = {"schemas": [PATCH], "Operations": [{"op": "add", "path": f"{urn}:number", "value": 1}]}
            response = await users.client.patch(f"/scim/v2/Users/{made['id']}", headers=headers, json=body)
            assert (await response.get_json(force=True))[urn] == {"number": 1}
        elif number == 1:
            body = {"schemas": [CORE], "userName": "babs", urn: {"number": 2}}
            response = await users.client.put(f"/scim/v2/Users/{made['id']}", headers=headers, json=body)
            assert (await response.get_json(force=True))[urn] == {"number": 2}
        elif number == 2:
            assert (await get(users, headers, "/scim/v2/Users", filter=f"{urn}:number eq 1"))[0] == 200
        else:
            body = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {urn: {"number": 3}}}]}
            response = await users.client.patch(f"/scim/v2/Users/{made['id']}", headers=headers, json=body)
            assert (await response.get_json(force=True))[urn] == {"number": 3}


async def test_a_process_that_has_not_heard_of_a_schema_keeps_its_values(
    users: RunningService, second: RunningService, tenant: str, headers: Headers
) -> None:
    there = second.tokens.headers(tenant, ["users:read", "users:write", "tenant:admin"])
    await create(users, headers, {"schemas": [CORE], "userName": "somebody"})
    assert (await register(second, there)).status_code == 201
    made = await create(second, there, with_badge(number=7))
    body = {"schemas": [PATCH], "Operations": [{"op": "add", "path": "title", "value": "Guide"}]}
    response = await users.client.patch(f"/scim/v2/Users/{made['id']}", headers=headers, json=body)
    changed = await response.get_json(force=True)
    assert (changed["schemas"], changed[BADGE]) == ([CORE, BADGE], {"number": 7})


async def test_values_are_not_written_under_a_schema_that_a_second_process_deleted(
    users: RunningService, second: RunningService, tenant: str, headers: Headers, badge: str
) -> None:
    there = second.tokens.headers(tenant, ["users:read", "users:write", "tenant:admin"])
    await get(users, headers, "/scim/v2/Users")  # what this process knows is fresh
    assert (await second.client.delete(f"/users/schemas/{badge}", headers=there)).status_code == 204
    response = await users.client.post("/scim/v2/Users", headers=headers, json=with_badge(number=7))
    assert response.status_code == 409
    bulk = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "POST", "path": "/Users", "bulkId": "a", "data": with_badge(number=7)}],
    }
    scopes = ["users:write", "groups:write"]
    response = await users.client.post("/scim/v2/Bulk", headers=users.tokens.headers(tenant, scopes), json=bulk)
    assert [one["status"] for one in (await response.get_json(force=True))["Operations"]] == ["409"]


async def test_writers_of_values_and_who_deletes_the_schema_do_not_both_win(
    users: RunningService, second: RunningService, tenant: str, headers: Headers
) -> None:
    there = second.tokens.headers(tenant, ["users:read", "users:write", "tenant:admin"])
    for number in range(8):
        urn = f"urn:example:race{number}"
        assert (await register(users, headers, {**SCHEMA, "id": urn})).status_code == 201
        await get(second, there, "/scim/v2/Users", attributes=urn)
        document = {"schemas": [CORE], "userName": f"u{number}", urn: {"number": 1}}
        written, deleted = await asyncio.gather(
            second.client.post("/scim/v2/Users", headers=there, json=document),
            users.client.delete(f"/users/schemas/{urn}", headers=headers),
        )
        kept = urn in await written.get_json(force=True)
        assert (written.status_code, deleted.status_code, kept) in {
            (201, 409, True),
            (409, 204, False),
            (201, 204, False),
        }


async def test_schemas_are_exported_before_the_users_that_have_values_of_them(
    users: RunningService, headers: Headers, badge: str
) -> None:
    await create(users, headers, with_badge(number=7))
    response = await users.client.get("/users/data/export", headers=headers)
    lines = (await response.get_data(as_text=True)).splitlines()
    assert badge in lines[0]
    assert ['"schema"' in line for line in lines] == [True, False, False]


async def test_schemas_are_for_administrators(users: RunningService, tenant: str) -> None:
    poor = users.tokens.headers(tenant, ["users:read", "users:write"])
    assert (await register(users, poor)).status_code == 403
    assert (await get(users, poor, "/users/schemas"))[0] == 403
