"""SCIM Users over HTTP, on the real PostgreSQL."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from quartet_common.data.connections import Connection
from quartet_testing.services import RunningService, new_tenant
from quartet_users.users import user_store

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"

JENSEN = {
    "schemas": [CORE, ENTERPRISE],
    "userName": "bjensen@example.com",
    "externalId": "701984",
    "displayName": "Babs Jensen",
    "name": {"familyName": "Jensen", "givenName": "Barbara"},
    "emails": [{"value": "bjensen@example.com", "type": "work", "primary": True}],
    "active": True,
    ENTERPRISE: {"employeeNumber": "701984", "department": "Tour Operations"},
}

Headers = dict[str, str]


async def create(client: TestClientProtocol, headers: Headers, **changes: Any) -> dict[str, Any]:
    response = await client.post("/scim/v2/Users", headers=headers, json={**JENSEN, **changes})
    assert response.status_code == 201, await response.get_data()
    made: dict[str, Any] = await response.get_json(force=True)
    return made


async def test_a_write_names_its_event_and_nothing_else_does(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    made = await users.client.post("/scim/v2/Users", headers=headers, json=JENSEN)
    taken = await users.client.post("/scim/v2/Users", headers=headers, json=JENSEN)
    path = f"/scim/v2/Users/{(await made.get_json(force=True))['id']}"
    read = await users.client.get(path, headers=headers)
    gone = await users.client.delete(path, headers=headers)
    created, deleted = [str(event.id) for event in await users.outbox(tenant)]
    answers = [(one.status_code, one.headers.get("Quartet-Event")) for one in (made, taken, read, gone)]
    assert answers == [(201, created), (409, None), (200, None), (204, deleted)]


async def test_a_created_user_is_answered_stored_and_told_of(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    response = await users.client.post("/scim/v2/Users", headers=headers, json=JENSEN)
    assert response.status_code == 201
    assert response.content_type == "application/scim+json"
    made = await response.get_json(force=True)
    assert {name: made[name] for name in JENSEN} == JENSEN
    assert made["meta"]["resourceType"] == "User"
    assert made["meta"]["location"] == response.headers["Location"]
    assert made["meta"]["location"].endswith(f"/scim/v2/Users/{made['id']}")
    assert response.headers["ETag"] == made["meta"]["version"] == 'W/"1"'
    read = await users.client.get(f"/scim/v2/Users/{made['id']}", headers=headers)
    assert await read.get_json(force=True) == made
    published = await users.outbox(tenant)
    assert [(event.type, event.actorid, event.subject) for event in published] == [
        ("quartet.users.user.created.v1", "hr-sync", f"users/{made['id']}")
    ]


async def test_a_new_user_and_its_event_cost_one_statement_and_those_of_a_password_one_transaction(
    users: RunningService, headers: Headers, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []

    def noting(store: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def noted(connection: Connection, *values: Any) -> Any:
            begun.append(connection.is_in_transaction())
            return await store(connection, *values)

        return noted

    monkeypatch.setattr(user_store, "insert_user_and_event", noting(user_store.insert_user_and_event))
    monkeypatch.setattr(user_store, "insert_user", noting(user_store.insert_user))
    await create(users.client, headers, userName="one")
    await create(users.client, headers, userName="two", password="t1me Machine of old")
    assert begun == [False, True]
    assert [event.data["userName"] for event in await users.outbox(tenant)] == ["one", "two"]


async def test_a_user_name_is_taken_whatever_its_case(users: RunningService, headers: Headers, tenant: str) -> None:
    await create(users.client, headers)
    response = await users.client.post(
        "/scim/v2/Users", headers=headers, json={**JENSEN, "userName": "BJENSEN@Example.com"}
    )
    assert response.status_code == 409
    body = await response.get_json(force=True)
    assert body["schemas"] == [ERROR]
    assert (body["status"], body["scimType"]) == ("409", "uniqueness")
    assert len(await users.outbox(tenant)) == 1


async def test_of_many_who_create_one_name_at_once_one_wins(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    answers = await asyncio.gather(
        *(users.client.post("/scim/v2/Users", headers=headers, json=JENSEN) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert len(await users.outbox(tenant)) == 1


async def test_a_name_that_is_taken_in_one_tenant_is_free_in_another(users: RunningService, headers: Headers) -> None:
    await create(users.client, headers)
    await create(users.client, users.tokens.headers(new_tenant(), ["users:write"]))


async def test_a_replacement_puts_the_new_in_place_of_the_old(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    made = await create(users.client, headers)
    sent = {"schemas": [CORE], "id": "ignored", "userName": "barbara@example.com"}
    response = await users.client.put(f"/scim/v2/Users/{made['id']}", headers=headers, json=sent)
    assert response.status_code == 200
    changed = await response.get_json(force=True)
    assert set(changed) == {"schemas", "id", "userName", "active", "meta"}
    assert (changed["id"], changed["userName"]) == (made["id"], "barbara@example.com")
    assert changed["meta"]["version"] == 'W/"2"'
    assert changed["meta"]["created"] == made["meta"]["created"]
    assert (await users.outbox(tenant))[-1].data["changed"] == [
        "displayName", "emails", "externalId", "name", ENTERPRISE, "userName"
    ]  # fmt: skip


async def test_a_replacement_that_changes_nothing_leaves_the_version_and_publishes_nothing(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    made = await create(users.client, headers)
    response = await users.client.put(f"/scim/v2/Users/{made['id']}", headers=headers, json=made)
    assert response.status_code == 200
    assert await response.get_json(force=True) == made
    assert len(await users.outbox(tenant)) == 1


async def test_a_user_cannot_be_renamed_to_a_name_that_is_taken(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    await create(users.client, headers)
    other = await create(users.client, headers, userName="other@example.com")
    response = await users.client.put(f"/scim/v2/Users/{other['id']}", headers=headers, json=JENSEN)
    assert response.status_code == 409
    kept = await users.client.get(f"/scim/v2/Users/{other['id']}", headers=headers)
    assert await kept.get_json(force=True) == other
    assert len(await users.outbox(tenant)) == 2


async def test_a_deleted_user_is_gone_and_its_name_is_free(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    made = await create(users.client, headers)
    address = f"/scim/v2/Users/{made['id']}"
    response = await users.client.delete(address, headers=headers)
    assert (response.status_code, await response.get_data()) == (204, b"")
    assert (await users.client.get(address, headers=headers)).status_code == 404
    assert (await users.client.delete(address, headers=headers)).status_code == 404
    assert (await users.client.put(address, headers=headers, json=JENSEN)).status_code == 404
    await create(users.client, headers)
    kinds = [event.type.removeprefix("quartet.users.user.") for event in await users.outbox(tenant)]
    assert kinds == ["created.v1", "deleted.v1", "created.v1"]


async def test_a_password_is_hashed_and_never_shown(users: RunningService, headers: Headers, tenant: str) -> None:
    made = await create(users.client, headers, password="correct horse battery staple")
    assert "password" not in made
    export = await users.client.get("/users/data/export", headers=headers)
    assert b"horse" not in await export.get_data()
    assert "horse" not in str(await users.outbox(tenant))
    async with users.container.database.connection() as connection:
        hashed = await connection.fetchval("SELECT password_hash FROM credentials WHERE tenant_id = $1", tenant)
        stored = await connection.fetchval("SELECT resource::text FROM users WHERE tenant_id = $1", tenant)
    assert hashed.startswith("$argon2id$")
    assert "horse" not in stored


async def test_a_list_is_paged_in_the_order_of_creation(users: RunningService, headers: Headers) -> None:
    made = [await create(users.client, headers, userName=f"u{number}") for number in range(5)]
    response = await users.client.get("/scim/v2/Users?startIndex=2&count=2", headers=headers)
    page = await response.get_json(force=True)
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (5, 2, 2)
    assert page["Resources"] == made[1:3]
    none = await users.client.get("/scim/v2/Users?count=0", headers=headers)
    body = await none.get_json(force=True)
    assert (body["totalResults"], body["itemsPerPage"], body["Resources"]) == (5, 0, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('userName eq "BJENSEN@example.com"', 1),
        (f'{CORE}:userName eq "bjensen@example.com"', 1),
        ('externalId eq "701984"', 1),
        ('externalId eq "701985"', 0),
        ('userName eq ""', 0),
        ('id eq "x"', 0),
        ('userName sw "BJ" and active eq true', 1),
        ("not (active eq true)", 0),
        ('emails[type eq "work" and value co "@example"]', 1),
        ('emails.value eq "bjensen@EXAMPLE.com"', 1),
        ('name.familyName eq "jensen" or name.familyName eq "x"', 1),
        (f'{ENTERPRISE}:department sw "tour"', 1),
        ('meta.lastModified gt "2020-01-01T00:00:00Z" and meta.resourceType eq "User"', 1),
        ("nickName pr", 0),
        ('userName eq "%" or userName co "_jensen"', 0),
    ],
)
async def test_users_are_found_by_filters(users: RunningService, headers: Headers, text: str, found: int) -> None:
    await create(users.client, headers)
    response = await users.client.get("/scim/v2/Users", headers=headers, query_string={"filter": text})
    body = await response.get_json(force=True)
    assert (body["totalResults"], len(body["Resources"])) == (found, found)


@pytest.mark.parametrize(
    "text",
    ['nickname_ eq "x"', "userName", "userName eq 1", "' OR true --", 'password eq "x"', "(" * 30 + "active pr"],
)
async def test_filters_that_make_no_sense_are_refused(users: RunningService, headers: Headers, text: str) -> None:
    response = await users.client.get("/scim/v2/Users", headers=headers, query_string={"filter": text})
    body = await response.get_json(force=True)
    assert (response.status_code, body["scimType"]) == (400, "invalidFilter")
    assert body["detail"]


async def test_a_filter_is_paged_and_counts_all_that_it_finds(users: RunningService, headers: Headers) -> None:
    made = [await create(users.client, headers, userName=f"u{number}", active=number % 2 == 0) for number in range(6)]
    for start, expected in ((1, made[0:3:2]), (3, [made[4]]), (4, [])):
        asked = {"filter": "active eq true", "startIndex": str(start), "count": "2"}
        response = await users.client.get("/scim/v2/Users", headers=headers, query_string=asked)
        page = await response.get_json(force=True)
        assert (page["totalResults"], page["Resources"]) == (3, expected)


async def test_only_the_attributes_that_are_asked_for_are_answered(users: RunningService, headers: Headers) -> None:
    made = await create(users.client, headers)
    address = f"/scim/v2/Users/{made['id']}"
    some = await users.client.get(f"{address}?attributes=USERNAME,emails.value", headers=headers)
    assert await some.get_json(force=True) == {
        "schemas": made["schemas"],
        "id": made["id"],
        "userName": made["userName"],
        "emails": [{"value": "bjensen@example.com"}],
    }
    fewer = await users.client.get(f"{address}?excludedAttributes=emails,meta", headers=headers)
    kept = {name: value for name, value in made.items() if name not in ("emails", "meta")}
    assert await fewer.get_json(force=True) == kept
    listed = await (await users.client.get("/scim/v2/Users?attributes=userName", headers=headers)).get_json(force=True)
    assert set(listed["Resources"][0]) == {"schemas", "id", "userName"}
    both = await users.client.get(f"{address}?attributes=userName&excludedAttributes=name", headers=headers)
    assert both.status_code == 400


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        (b"", "invalidSyntax"),
        (b"{", "invalidSyntax"),
        (b"[]", "invalidSyntax"),
        (b'{"userName":"x"}', "invalidSyntax"),
        (json.dumps({"schemas": [CORE]}).encode(), "invalidValue"),
        (json.dumps({"schemas": [CORE], "userName": 5}).encode(), "invalidValue"),
        (b'{"schemas":["%b"],"userName":"a\\u0000"}' % CORE.encode(), "invalidSyntax"),
        (json.dumps({"schemas": [CORE], "userName": "x" * 5000}).encode(), "invalidValue"),
    ],
)
async def test_bad_input_is_a_scim_error_and_loses_nothing(
    users: RunningService, headers: Headers, tenant: str, body: bytes, scim_type: str
) -> None:
    sent = {**headers, "Content-Type": "application/scim+json"}
    response = await users.client.post("/scim/v2/Users", headers=sent, data=body)
    assert response.status_code == 400
    assert (await response.get_json(force=True))["scimType"] == scim_type
    assert await users.outbox(tenant) == []


async def test_a_body_of_another_kind_is_refused(users: RunningService, headers: Headers) -> None:
    sent = {**headers, "Content-Type": "text/xml"}
    response = await users.client.post("/scim/v2/Users", headers=sent, data=b"<user/>")
    assert response.status_code == 415
    assert (await response.get_json(force=True))["schemas"] == [ERROR]


async def test_the_longest_user_name_fits_whatever_it_folds_to(users: RunningService, headers: Headers) -> None:
    made = await create(users.client, headers, userName="İ" * 512)
    response = await users.client.get(f"/scim/v2/Users/{made['id']}", headers=headers)
    assert (await response.get_json(force=True))["userName"] == "İ" * 512


@pytest.mark.parametrize(
    "odd", ["x", "0", "01a20458-d3da-70f4-b50d-2a76abd0b72c", "{01a20458d3da70f4b50d2a76abd0b72c}"]
)
async def test_an_id_that_nobody_has_is_404(users: RunningService, headers: Headers, odd: str) -> None:
    for method in ("get", "delete"):
        response = await getattr(users.client, method)(f"/scim/v2/Users/{odd}", headers=headers)
        assert response.status_code == 404
        assert (await response.get_json(force=True))["schemas"] == [ERROR]


async def test_a_user_of_another_tenant_is_not_found(users: RunningService, headers: Headers) -> None:
    made = await create(users.client, headers)
    stranger = users.tokens.headers(new_tenant(), ["users:read", "users:write"])
    address = f"/scim/v2/Users/{made['id']}"
    assert (await users.client.get(address, headers=stranger)).status_code == 404
    assert (await users.client.delete(address, headers=stranger)).status_code == 404
    assert (await users.client.put(address, headers=stranger, json=JENSEN)).status_code == 404
    listed = await users.client.get("/scim/v2/Users", headers=stranger)
    assert (await listed.get_json(force=True))["totalResults"] == 0


async def test_discovery_is_public_and_says_what_works(users: RunningService) -> None:
    config = await (await users.client.get("/scim/v2/ServiceProviderConfig")).get_json(force=True)
    assert config["filter"]["supported"] is True
    assert config["patch"]["supported"] is True
    types = await (await users.client.get("/scim/v2/ResourceTypes")).get_json(force=True)
    assert [one["name"] for one in types["Resources"]] == ["User", "Group"]
    for kind in types["Resources"]:
        one = await users.client.get(f"/scim/v2/ResourceTypes/{kind['name']}")
        assert await one.get_json(force=True) == kind
    schema = await users.client.get(f"/scim/v2/Schemas/{ENTERPRISE}")
    assert (await schema.get_json(force=True))["id"] == ENTERPRISE
    assert (await users.client.get("/scim/v2/Schemas/urn:unknown")).status_code == 404
    assert (await users.client.get("/scim/v2/Schemas?filter=x")).status_code == 403
