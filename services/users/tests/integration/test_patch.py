"""PATCH of users over HTTP, in the shapes that clients send."""

import asyncio
import threading
from typing import Any
from uuid import UUID

import argon2
import pytest

from quartet_scim.patch import PatchEngine
from quartet_testing.services import RunningService, new_tenant
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.users import user_store

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SENT = {
    "schemas": [CORE, ENTERPRISE],
    "userName": "bjensen@example.com",
    "displayName": "Babs",
    "active": True,
    "emails": [{"value": "b@example.com", "type": "work"}],
    ENTERPRISE: {"department": "Tours"},
}

Headers = dict[str, str]
User = dict[str, Any]


@pytest.fixture
async def made(users: RunningService, headers: Headers) -> User:
    """A user."""
    response = await users.client.post("/scim/v2/Users", headers=headers, json=SENT)
    assert response.status_code == 201
    found: User = await response.get_json(force=True)
    return found


async def patch(users: RunningService, headers: Headers, made: User, *operations: Any) -> Any:
    body = {"schemas": [PATCH], "Operations": list(operations)}
    return await users.client.patch(f"/scim/v2/Users/{made['id']}", headers=headers, json=body)


async def test_a_resource_says_where_it_is(users: RunningService, headers: Headers, made: User) -> None:
    address = f"/scim/v2/Users/{made['id']}"
    for answer in (
        await users.client.get(address, headers=headers),
        await users.client.put(address, headers=headers, json=SENT),
        await patch(users, headers, made, {"op": "replace", "path": "displayName", "value": "B"}),
    ):
        assert answer.headers["Location"] == made["meta"]["location"]
    known = await users.client.get(address, headers={**headers, "If-None-Match": "*"})
    assert (known.status_code, known.headers["Location"]) == (304, made["meta"]["location"])


@pytest.mark.parametrize("value", ["", [""], [None]])
async def test_a_malformed_value_empties_no_attribute(
    users: RunningService, headers: Headers, made: User, value: Any
) -> None:
    address = f"/scim/v2/Users/{made['id']}"
    for answer in (
        await patch(users, headers, made, {"op": "replace", "path": "emails", "value": value}),
        await patch(users, headers, made, {"op": "replace", "value": {"emails": value}}),
        await patch(users, headers, made, {"op": "remove", "path": "emails", "value": None}),
        await users.client.put(address, headers=headers, json={**SENT, "emails": value}),
    ):
        assert (answer.status_code, (await answer.get_json(force=True))["scimType"]) == (400, "invalidValue")
    read = await users.client.get(address, headers=headers)
    assert await read.get_json(force=True) == made


async def test_a_message_without_schemas_and_with_lists_of_one_is_understood(
    users: RunningService, headers: Headers, made: User
) -> None:
    operations = [
        {"op": "replace", "value": [{"nickName": "N", "active": [False]}]},
        {"op": "replace", "path": f"{ENTERPRISE}.manager", "value": "7"},
    ]
    response = await users.client.patch(
        f"/scim/v2/Users/{made['id']}", headers=headers, json={"Operations": operations}
    )
    changed = await response.get_json(force=True)
    assert (changed["nickName"], changed["active"], changed[ENTERPRISE]["manager"]) == ("N", False, {"value": "7"})
    query = f'/scim/v2/Users?filter={ENTERPRISE}.manager eq "7"&attributes={ENTERPRISE}.manager&count='
    found = await (await users.client.get(query, headers=headers)).get_json(force=True)
    assert [one[ENTERPRISE] for one in found["Resources"]] == [{"manager": {"value": "7"}}]


@pytest.mark.parametrize("empty", ["", {"value": ""}, [{"value": ""}]])
async def test_an_empty_manager_takes_the_manager_away(
    users: RunningService, headers: Headers, made: User, empty: Any
) -> None:
    address = f"/scim/v2/Users/{made['id']}"
    managed = {**SENT, ENTERPRISE: {"department": "Tours", "manager": {"value": "7"}}}
    paths = [("manager", empty), *([("manager.value", "")] if empty == "" else [])]
    changes = [patch(users, headers, made, {"op": "replace", "path": path, "value": value}) for path, value in paths]
    changes.append(
        users.client.put(address, headers=headers, json={**SENT, ENTERPRISE: {"department": "Tours", "manager": empty}})
    )
    for change in changes:
        assert (await users.client.put(address, headers=headers, json=managed)).status_code == 200
        response = await change
        assert (await response.get_json(force=True))[ENTERPRISE] == {"department": "Tours"}


async def test_an_operation_changes_what_it_names_and_is_published(
    users: RunningService, headers: Headers, tenant: str, made: User
) -> None:
    response = await patch(users, headers, made, {"op": "replace", "path": "displayName", "value": "Barbara"})
    assert response.status_code == 200
    changed = await response.get_json(force=True)
    assert changed["displayName"] == "Barbara"
    assert changed["meta"]["version"] == response.headers["ETag"] == 'W/"2"'
    read = await users.client.get(f"/scim/v2/Users/{made['id']}", headers=headers)
    assert await read.get_json(force=True) == changed
    last = (await users.outbox(tenant))[-1]
    assert (last.routing_key, last.data["changed"], last.sequence) == ("users.user.updated.v1", ["displayName"], 2)


@pytest.mark.parametrize(
    ("client", "operation", "name", "expected"),
    [
        ("Entra ID", {"op": "Replace", "path": "active", "value": "False"}, "active", False),
        ("Okta", {"op": "replace", "value": {"active": False}}, "active", False),
        (
            "Entra ID",
            {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Sales"},
            ENTERPRISE,
            {"department": "Sales"},
        ),
        (
            "Entra ID",
            {"op": "Add", "path": 'emails[type eq "work"].value', "value": "new@example.com"},
            "emails",
            [{"value": "new@example.com", "type": "work"}],
        ),
        ("Entra ID", {"op": "Replace", "value": {"name.familyName": "Jensen"}}, "name", {"familyName": "Jensen"}),
        ("RFC 7644", {"op": "remove", "path": "displayName"}, "displayName", None),
    ],
)
async def test_the_shapes_that_clients_send_are_understood(
    users: RunningService, headers: Headers, made: User, client: str, operation: Any, name: str, expected: Any
) -> None:
    response = await patch(users, headers, made, operation)
    assert response.status_code == 200, f"{client}: {await response.get_data()}"
    assert (await response.get_json(force=True)).get(name) == expected


async def test_operations_are_all_done_or_none(
    users: RunningService, headers: Headers, tenant: str, made: User
) -> None:
    good = {"op": "replace", "path": "displayName", "value": "Barbara"}
    bad = {"op": "replace", "path": "active", "value": "perhaps"}
    response = await patch(users, headers, made, good, bad)
    body = await response.get_json(force=True)
    assert (response.status_code, body["scimType"]) == (400, "invalidValue")
    assert "Operations[1]" in body["detail"]
    read = await users.client.get(f"/scim/v2/Users/{made['id']}", headers=headers)
    assert await read.get_json(force=True) == made
    assert len(await users.outbox(tenant)) == 1


async def test_an_operation_that_changes_nothing_leaves_the_version(
    users: RunningService, headers: Headers, tenant: str, made: User
) -> None:
    response = await patch(users, headers, made, {"op": "replace", "path": "displayName", "value": "Babs"})
    assert await response.get_json(force=True) == made
    assert len(await users.outbox(tenant)) == 1


async def test_patches_that_race_are_all_in_the_result(users: RunningService, headers: Headers, made: User) -> None:
    numbers = [{"op": "add", "path": "phoneNumbers", "value": [{"value": f"{number}"}]} for number in range(8)]
    answers = await asyncio.gather(*(patch(users, headers, made, one) for one in numbers))
    assert {answer.status_code for answer in answers} == {200}
    read = await users.client.get(f"/scim/v2/Users/{made['id']}", headers=headers)
    found = await read.get_json(force=True)
    assert {one["value"] for one in found["phoneNumbers"]} == {str(number) for number in range(8)}
    assert found["meta"]["version"] == 'W/"9"'


async def test_a_user_cannot_be_patched_to_a_name_that_is_taken(
    users: RunningService, headers: Headers, made: User
) -> None:
    other = {"schemas": [CORE], "userName": "other@example.com"}
    await users.client.post("/scim/v2/Users", headers=headers, json=other)
    response = await patch(users, headers, made, {"op": "replace", "path": "userName", "value": "OTHER@example.com"})
    assert (response.status_code, (await response.get_json(force=True))["scimType"]) == (409, "uniqueness")


async def test_nobody_waits_for_a_user_whose_password_is_being_hashed(
    users: RunningService, headers: Headers, tenant: str, made: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    async def slow(_: Passwords, password: str, __: str) -> str:
        async with users.container.database.transaction() as connection:
            await connection.execute("SET LOCAL lock_timeout = '1s'")
            assert await user_store.lock_user(connection, tenant, UUID(made["id"])) is not None
        hashed.append(password)
        return "a hash"

    monkeypatch.setattr(Passwords, "hash", slow)
    response = await patch(
        users, headers, made, {"op": "replace", "value": {"password": "correct horse battery", "title": "Dr"}}
    )
    assert (response.status_code, hashed) == (200, ["correct horse battery"])
    query = "SELECT password_hash FROM credentials WHERE tenant_id = $1"
    async with users.container.database.connection() as connection:
        assert await connection.fetchval(query, tenant) == "a hash"


async def test_the_names_of_parameters_may_be_of_any_case(users: RunningService, headers: Headers, made: User) -> None:
    query = {"ATTRIBUTES": "userName"}
    response = await users.client.get(f"/scim/v2/Users/{made['id']}", headers=headers, query_string=query)
    assert (await response.get_json(force=True)).keys() == {"schemas", "id", "userName"}


async def test_a_password_is_set_and_forgotten_and_never_shown(
    users: RunningService, headers: Headers, tenant: str, made: User
) -> None:
    query = "SELECT password_hash FROM credentials WHERE tenant_id = $1"
    response = await patch(users, headers, made, {"op": "add", "path": "password", "value": "correct horse battery"})
    assert "password" not in await response.get_json(force=True)
    async with users.container.database.connection() as connection:
        assert argon2.PasswordHasher().verify(await connection.fetchval(query, tenant), "correct horse battery")
    await patch(users, headers, made, {"op": "remove", "path": "password"})
    async with users.container.database.connection() as connection:
        assert await connection.fetchval(query, tenant) is None
    assert [event.data["changed"] for event in (await users.outbox(tenant))[1:]] == [["password"], ["password"]]


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        ({}, "invalidSyntax"),
        ({"schemas": [PATCH], "Operations": []}, "invalidSyntax"),
        ({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "id", "value": "x"}]}, "mutability"),
        ({"schemas": [PATCH], "Operations": [{"op": "remove", "path": "userName"}]}, None),
        ({"schemas": [PATCH], "Operations": [{"op": "remove", "path": 'emails[type eq "x"]'}]}, "noTarget"),
        ({"schemas": [PATCH], "Operations": [{"op": "add", "path": "nonsense", "value": 1}]}, "invalidPath"),
    ],
)
async def test_operations_that_cannot_be_done_are_scim_errors(
    users: RunningService, headers: Headers, made: User, body: Any, scim_type: str | None
) -> None:
    response = await users.client.patch(f"/scim/v2/Users/{made['id']}", headers=headers, json=body)
    assert response.status_code == 400
    if scim_type is not None:
        assert (await response.get_json(force=True))["scimType"] == scim_type


async def test_another_tenants_user_cannot_be_patched(users: RunningService, headers: Headers, made: User) -> None:
    stranger = users.tokens.headers(new_tenant(), ["users:write"])
    response = await patch(users, stranger, made, {"op": "remove", "path": "displayName"})
    assert response.status_code == 404


MANY_TESTS = " or ".join(f'value eq "{number}"' for number in range(90))


@pytest.mark.parametrize(
    ("emails", "operation", "beside"),
    [
        (1, {"op": "replace", "path": "displayName", "value": "B"}, False),
        (100, {"op": "replace", "path": "displayName", "value": "B"}, False),
        (600, {"op": "replace", "path": "displayName", "value": "B"}, True),
        (100, {"op": "replace", "path": f"emails[{MANY_TESTS}].display", "value": "B"}, True),
        (1, {"op": "replace", "path": "nickName", "value": "x" * 60_000}, False),
        (
            1,
            {"op": "add", "path": "photos", "value": [{"value": f"{number}{'x' * 50_000}"} for number in range(3)]},
            True,
        ),
    ],
)
async def test_operations_that_take_long_are_applied_beside_the_event_loop(
    users: RunningService,
    headers: Headers,
    monkeypatch: pytest.MonkeyPatch,
    emails: int,
    operation: dict[str, Any],
    beside: bool,
) -> None:
    sent = {**SENT, "emails": [{"value": str(number)} for number in range(emails)]}
    response = await users.client.post("/scim/v2/Users", headers=headers, json=sent)
    made = await response.get_json(force=True)
    finished: list[int] = []
    apply = PatchEngine.apply

    def watched(*given: Any) -> Any:
        found = apply(*given)
        finished.append(threading.get_ident())
        return found

    monkeypatch.setattr(PatchEngine, "apply", watched)
    assert (await patch(users, headers, made, operation)).status_code == 200
    assert len(finished) == 1
    assert (finished[0] != threading.get_ident()) is beside
