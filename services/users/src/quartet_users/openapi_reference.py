"""The reference: examples of request bodies and descriptions of parameters, for the OpenAPI document."""

from typing import Any

from quartet_scim_http.dialect import PARAMETERS as SCIM_PARAMETERS

MESSAGES = "urn:ietf:params:scim:api:messages:2.0"
USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
PASSWORD = "violet harbor lantern 93"  # noqa: S105  # nosec B105  # an example
SOME_ID = "0199d0f4-7c1e-7a52-b1a4-6f0f6a1d2c3b"

USER: dict[str, Any] = {
    "schemas": [USER_SCHEMA],
    "userName": "bjensen@example.com",
    "name": {"givenName": "Barbara", "familyName": "Jensen"},
    "displayName": "Barbara Jensen",
    "emails": [{"value": "bjensen@example.com", "type": "work", "primary": True}],
    "active": True,
}
PATCH = {
    "schemas": [f"{MESSAGES}:PatchOp"],
    "Operations": [
        {"op": "replace", "path": "displayName", "value": "Babs Jensen"},
        {"op": "add", "path": "nickName", "value": "Babs"},
    ],
}
SEARCH = {"schemas": [f"{MESSAGES}:SearchRequest"], "filter": 'displayName sw "b"', "startIndex": 1, "count": 10}
BULK = {
    "schemas": [f"{MESSAGES}:BulkRequest"],
    "failOnErrors": 1,
    "Operations": [
        {
            "method": "POST",
            "path": "/Users",
            "bulkId": "alice",
            "data": {"schemas": [USER_SCHEMA], "userName": "alice@example.com"},
        },
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "guides",
            "data": {"schemas": [GROUP_SCHEMA], "displayName": "Tour Guides", "members": [{"value": "bulkId:alice"}]},
        },
    ],
}
SCHEMA = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
    "id": "urn:example:params:scim:schemas:extension:badge:2.0:User",
    "name": "Badge",
    "description": "The badge of an employee",
    "attributes": [
        {
            "name": "badgeNumber",
            "type": "string",
            "multiValued": False,
            "description": "The number on the badge",
            "required": False,
            "caseExact": True,
            "mutability": "readWrite",
            "returned": "default",
            "uniqueness": "none",
        }
    ],
}
CREDENTIALS = {"client_id": "acme-1234567890abcdef", "client_secret": "the secret of the client"}

EXAMPLES: dict[str, Any] = {
    "POST /scim/v2/Users": USER,
    "PUT /scim/v2/Users/{user_id}": USER,
    "PATCH /scim/v2/Users/{user_id}": PATCH,
    "PUT /scim/v2/Me": USER,
    "PATCH /scim/v2/Me": PATCH,
    "POST /scim/v2/Users/.search": {**SEARCH, "filter": 'userName sw "b"', "sortBy": "userName"},
    "POST /scim/v2/.search": SEARCH,
    "POST /scim/v2/Bulk": BULK,
    "POST /users/schemas": SCHEMA,
    "POST /users/totals": {"since": "2026-01-31T09:00:00Z", "applied": [SOME_ID]},
    "POST /users/lookup": {"ids": [SOME_ID]},
    "POST /users/lookup/group-scopes": {"ids": [SOME_ID]},
    "POST /users/login": {"tenant": "default", "user_name": "bjensen@example.com", "password": PASSWORD},
    "POST /users/password": {"old_password": PASSWORD, "new_password": "copper meadow signal 47"},
    "POST /oauth2/token": {"grant_type": "client_credentials", "scope": "users:read", **CREDENTIALS},
    "POST /oauth2/introspect": {"token": "the token", **CREDENTIALS},
    "POST /oauth2/revoke": {"token": "the token", **CREDENTIALS},
    "POST /users/clients": {"name": "Payroll", "scopes": ["users:read", "groups:read"]},
    "PATCH /users/clients/{client_id}": {"name": "Payroll of 2027", "scopes": ["users:read"]},
    "POST /users/clients/{client_id}/secrets": {"overlap_seconds": 3600},
    "POST /users/roles": {"name": "Auditor", "scopes": ["audit:read"], "description": "Reads the audit log"},
    "PATCH /users/roles/{role_id}": {"description": "Reads and exports", "scopes": ["audit:read", "audit:export"]},
    "POST /users/roles/{role_id}/grants": {"type": "User", "id": SOME_ID},
    "POST /users/scim-tokens": {"name": "Okta", "expires_in_days": 365},
    "POST /users/origins": {"origin": "https://app.example.com"},
    "POST /users/tenants": {
        "id": "acme",
        "display_name": "Acme",
        "administrator": {"user_name": "admin@acme.example.com", "display_name": "Administrator"},
    },
    "PATCH /users/tenants/{tenant}": {"display_name": "Acme International"},
}
"""Of request bodies, by method and path."""
PARAMETERS = {
    **SCIM_PARAMETERS,
    "cursor": "Empty or left out for the first page, then the next cursor of the previous page.",
    "user_id": "The id of a user.",
    "client_id": "The id of an API client.",
    "secret_id": "The id of one of the client's secrets; it is not the secret.",
    "role_id": "The id of a role.",
    "grantee_id": "The id of the user or group that has the role.",
    "session_id": "The id of a session.",
    "token_id": "The id of a SCIM token; it is not the token.",
    "origin_id": "The id of an allowed origin.",
    "tenant": "The id of a tenant.",
    "name": "The name of a resource type: User or Group.",
    "urn": "The URN of a schema.",
    "user": "The id of the user whose sessions are listed or ended. Only administrators can name other users.",
    "others": "true ends all sessions but the current one.",
    "now": "true if the current key may have leaked: all access tokens are refused at once.",
    "status": "active, suspended or deleted.",
}
"""Descriptions by name."""
