"""Odd values in every place of every route: none of them is a failure of the server."""

from typing import Any

import pytest

from quartet_common.auth.scopes import SCOPES
from quartet_common.web.cursors import cursor_key, encode_cursor
from quartet_testing.odd_values import find_failures
from quartet_testing.openapi import Example
from quartet_testing.services import RunningService, new_tenant

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
USER = {"schemas": [CORE], "userName": "x", "emails": [{"value": "x", "type": "x"}], "name": {"familyName": "x"}}
PATCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "replace", "path": "title", "value": "x"}],
}
SEARCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
    "filter": "id pr",
    "sortBy": "id",
    "attributes": ["id"],
    "startIndex": 1,
    "count": 1,
}
BULK = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
    "failOnErrors": 1,
    "Operations": [{"method": "POST", "path": "/Users", "bulkId": "x", "data": USER, "version": "x"}],
}
EXAMPLES: dict[Example, Any] = {
    ("post", "/scim/v2/Users"): USER,
    ("patch", "/scim/v2/Users/{user_id}"): PATCH,
    ("post", "/scim/v2/Bulk"): BULK,
    ("post", "/scim/v2/.search"): SEARCH,
    ("post", "/scim/v2/Users/.search"): SEARCH,
    ("post", "/users/schemas"): {"id": "urn:example:x", "name": "x", "attributes": [{"name": "x", "type": "string"}]},
}


async def test_no_value_in_any_place_of_any_route_is_a_failure_of_the_server(users: RunningService) -> None:
    headers = users.tokens.headers(new_tenant(), SCOPES)
    assert await find_failures(users, headers, EXAMPLES) == []


@pytest.mark.parametrize("position", ["a\0b", 2**63, None])
async def test_a_cursor_that_the_service_did_not_make_is_refused(users: RunningService, position: Any) -> None:
    tenant = new_tenant()
    headers = users.tokens.headers(tenant, ["tenant:admin"])
    platform = users.tokens.headers("quartet", ["platform:admin"])
    for path, context, who in (
        ("/users/clients", ["users.clients", tenant], headers),
        ("/users/tenants", ["users.tenants", ""], platform),
    ):
        forged = encode_cursor(position, context, cursor_key("a guess"))
        answer = await users.client.get(f"{path}?cursor={forged}", headers=who)
        assert (answer.status_code, (await answer.get_json(force=True))["code"]) == (400, "bad_cursor"), path
