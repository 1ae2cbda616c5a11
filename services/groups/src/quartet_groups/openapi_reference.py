"""The reference: examples of request bodies and descriptions of parameters, for the OpenAPI document."""

from typing import Any

from quartet_scim_http.dialect import PARAMETERS as SCIM_PARAMETERS

MESSAGES = "urn:ietf:params:scim:api:messages:2.0"
SOME_ID = "0199d0f4-7c1e-7a52-b1a4-6f0f6a1d2c3b"
GROUP = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
    "displayName": "Tour Guides",
    "externalId": "tour-guides",
}
PATCH = {
    "schemas": [f"{MESSAGES}:PatchOp"],
    "Operations": [{"op": "replace", "path": "displayName", "value": "Senior Tour Guides"}],
}
SEARCH = {"schemas": [f"{MESSAGES}:SearchRequest"], "filter": 'displayName sw "t"', "startIndex": 1, "count": 10}

EXAMPLES: dict[str, Any] = {
    "POST /scim/v2/Groups": GROUP,
    "PUT /scim/v2/Groups/{group_id}": GROUP,
    "PATCH /scim/v2/Groups/{group_id}": PATCH,
    "POST /scim/v2/Groups/.search": SEARCH,
    "POST /groups/search": SEARCH,
    "POST /groups/check": {"checks": [{"user": SOME_ID, "group": SOME_ID}]},
    "POST /groups/totals": {"since": "2026-01-31T09:00:00Z", "applied": [SOME_ID]},
    "POST /groups/privileged": {"ids": [SOME_ID]},
    "POST /groups/bulk": {"operations": [{"method": "POST", "id": SOME_ID, "data": GROUP}]},
}
"""Of request bodies, by method and path."""
PARAMETERS = {
    **SCIM_PARAMETERS,
    "group_id": "The id of a group.",
    "group": "The id of a group.",
    "user": "The id of a user.",
}
"""Descriptions by name."""
