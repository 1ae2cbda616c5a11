"""Odd values in every place of every route: none of them is a failure of the server."""

from typing import Any

from quartet_common.auth.scopes import SCOPES
from quartet_testing.odd_values import find_failures
from quartet_testing.openapi import Example
from quartet_testing.services import RunningService, new_tenant

CORE = "urn:ietf:params:scim:schemas:core:2.0:Group"
GROUP = {"schemas": [CORE], "displayName": "x", "externalId": "x", "members": [{"value": "x"}]}
PATCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "add", "path": "members", "value": [{"value": "x"}]}],
}
SEARCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
    "filter": "id pr",
    "sortBy": "id",
    "attributes": ["id"],
    "startIndex": 1,
    "count": 1,
}
EXAMPLES: dict[Example, Any] = {
    ("post", "/scim/v2/Groups"): GROUP,
    ("patch", "/scim/v2/Groups/{group_id}"): PATCH,
    ("post", "/scim/v2/Groups/.search"): SEARCH,
    ("post", "/groups/search"): SEARCH,
    ("post", "/groups/bulk"): {"operations": [{"method": "POST", "id": "x", "version": "x", "data": GROUP}]},
}


async def test_no_value_in_any_place_of_any_route_is_a_failure_of_the_server(groups: RunningService) -> None:
    headers = groups.tokens.headers(new_tenant(), SCOPES)
    assert await find_failures(groups, headers, EXAMPLES) == []
