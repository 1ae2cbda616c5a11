"""What other services and operators ask of the users service."""

import json
from typing import Any

from quartet_testing.services import RunningService, new_tenant

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"

Headers = dict[str, str]


async def test_a_service_looks_users_up_in_the_tenant_that_it_names(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    body = {"schemas": [CORE], "userName": "b@example.com", "displayName": "Babs"}
    made = await (await users.client.post("/scim/v2/Users", headers=headers, json=body)).get_json(force=True)
    service = users.tokens.headers("*", ["service"], actor="quartet-groups")
    asked = {"ids": [made["id"], "01a20458-d3da-70f4-b50d-2a76abd0b72c", "nonsense"]}
    response = await users.client.post("/users/lookup", headers={**service, "Quartet-Tenant": tenant}, json=asked)
    assert await response.get_json() == {
        "users": [
            {
                "id": made["id"],
                "userName": "b@example.com",
                "displayName": "Babs",
                "version": 1,
                "externalId": None,
            }
        ]
    }
    other = await users.client.post("/users/lookup", headers={**service, "Quartet-Tenant": new_tenant()}, json=asked)
    assert await other.get_json() == {"users": []}


async def test_a_service_looks_users_up_by_names_and_external_ids(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    ids = {}
    for name, external_id in (("Jürgen@example.com", "a"), ("b@example.com", "b"), ("c@example.com", "B")):
        body = {"schemas": [CORE], "userName": name, "externalId": external_id}
        made = await users.client.post("/scim/v2/Users", headers=headers, json=body)
        ids[name] = (await made.get_json(force=True))["id"]
    service = {**users.tokens.headers("*", ["service"], actor="quartet-groups"), "Quartet-Tenant": tenant}
    asked = {"userNames": ["JÜRGEN@EXAMPLE.COM", "nobody"], "externalIds": ["a", "B", "x"]}
    response = await users.client.post("/users/lookup", headers=service, json=asked)
    found = {one["id"]: one["externalId"] for one in (await response.get_json())["users"]}
    assert found == {ids["Jürgen@example.com"]: "a", ids["c@example.com"]: "B"}
    stranger = {**service, "Quartet-Tenant": new_tenant()}
    assert await (await users.client.post("/users/lookup", headers=stranger, json=asked)).get_json() == {"users": []}


async def test_a_service_that_names_no_tenant_is_told_so(users: RunningService) -> None:
    service = users.tokens.headers("*", ["service"])
    response = await users.client.post("/users/lookup", headers=service, json={"ids": []})
    assert (response.status_code, (await response.get_json(force=True))["code"]) == (400, "missing_tenant")


async def test_a_customers_token_cannot_name_another_tenant(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    await users.client.post("/scim/v2/Users", headers=headers, json={"schemas": [CORE], "userName": "b"})
    stranger = {**users.tokens.headers(new_tenant(), ["users:read"]), "Quartet-Tenant": tenant}
    listed = await users.client.get("/scim/v2/Users", headers=stranger)
    assert (await listed.get_json(force=True))["totalResults"] == 0


async def test_a_lookup_that_is_none_is_refused(users: RunningService) -> None:
    service = {**users.tokens.headers("*", ["service"]), "Quartet-Tenant": "acme"}
    many = {"ids": ["x"] * 600, "userNames": ["x"] * 401}
    nul = {"userNames": ["\x00"]}
    bodies: list[Any] = [{}, {"ids": "x"}, {"ids": [1]}, {"ids": ["x"] * 1001}, many, nul, []]
    for body in bodies:
        response = await users.client.post("/users/lookup", headers=service, json=body)
        assert response.status_code == 400


async def test_an_export_holds_every_user_of_the_tenant_and_says_that_it_is_whole(
    users: RunningService, headers: Headers
) -> None:
    for number in range(3):
        body = {"schemas": [CORE], "userName": f"u{number}"}
        await users.client.post("/scim/v2/Users", headers=headers, json=body)
    response = await users.client.get("/users/data/export", headers=headers)
    assert response.content_type == "application/x-ndjson"
    lines = [json.loads(line) for line in (await response.get_data(as_text=True)).splitlines()]
    assert [line["kind"] for line in lines] == ["user", "user", "user", "end"]
    assert [line["data"]["resource"]["userName"] for line in lines[:-1]] == ["u0", "u1", "u2"]
    assert lines[-1]["count"] == 3


async def test_the_outbox_is_shown_to_operators_only(users: RunningService, headers: Headers) -> None:
    shown = await (await users.client.get("/users/rabbitmq/outbox", headers=headers)).get_json()
    assert shown["depth"] >= 0
    refused = await users.client.get("/users/rabbitmq/outbox", headers=users.tokens.headers("t", ["users:read"]))
    assert refused.status_code == 403
    assert 'scope="events:manage"' in refused.headers["WWW-Authenticate"]


async def test_a_refused_scope_is_told_with_the_callers_names(users: RunningService) -> None:
    tenant = new_tenant()
    await users.client.get("/scim/v2/Users", headers=users.tokens.headers(tenant, ["groups:read"], actor="curious"))
    published = await users.outbox(tenant)
    assert [(event.type, event.actorid, event.outcome) for event in published] == [
        ("quartet.users.request.refused.v1", "curious", "denied")
    ]
    assert published[0].data["scope"] == "users:read"
