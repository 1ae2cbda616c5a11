"""What real clients send that the RFC does not have, or leaves open; each with the client that sends it."""

from typing import Any

import pytest

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
BARE = {"schemas": [CORE], "userName": "bjensen"}
FULL = {
    "schemas": [CORE, ENTERPRISE],
    "userName": "bjensen",
    "active": True,
    "emails": [{"value": "b@example.com", "type": "work"}, {"value": "h@example.com", "type": "home"}],
    "roles": [{"value": "guide", "primary": True}],
    ENTERPRISE: {"manager": {"value": "1"}},
}
NONE: dict[str, Any] = {ENTERPRISE: None}

QUIRKS: list[tuple[str, str, dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = [
    (
        "Entra ID",
        "capitalised ops and booleans as text",
        FULL,
        [{"op": "Replace", "path": "active", "value": "False"}],
        {"active": False},
    ),
    (
        "Entra ID",
        "a replace of an e-mail that is not there",
        BARE,
        [{"op": "Replace", "path": 'emails[type eq "work"].value', "value": "b@example.com"}],
        {"emails": [{"type": "work", "value": "b@example.com"}]},
    ),
    (
        "Entra ID",
        "an add to an address that is not there, attribute by attribute",
        BARE,
        [
            {"op": "Add", "path": 'addresses[type eq "work"].locality', "value": "Hollywood"},
            {"op": "Add", "path": 'addresses[type eq "work"].country', "value": "US"},
        ],
        {"addresses": [{"type": "work", "locality": "Hollywood", "country": "US"}]},
    ),
    (
        "Entra ID",
        "a role that is chosen by a truth written as text, there",
        FULL,
        [{"op": "Replace", "path": 'roles[primary eq "True"].value', "value": "auditor"}],
        {"roles": [{"value": "auditor", "primary": True}]},
    ),
    (
        "Entra ID",
        "a role that is chosen by a truth written as text, not there",
        BARE,
        [{"op": "Add", "path": 'roles[primary eq "True"].value', "value": "auditor"}],
        {"roles": [{"primary": True, "value": "auditor"}]},
    ),
    (
        "Entra ID",
        "a manager as the bare id",
        BARE,
        [{"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "26118915"}],
        {ENTERPRISE: {"manager": {"value": "26118915"}}},
    ),
    (
        "Entra ID",
        "a manager taken away by an empty text",
        FULL,
        [{"op": "Replace", "path": f"{ENTERPRISE}:manager", "value": ""}],
        {ENTERPRISE: None},
    ),
    *(
        ("Entra ID", f"a manager taken away by {op} of {value}", FULL, [{"op": op, "path": path, "value": value}], NONE)
        for op in ("add", "replace")
        for path, value in [
            ("manager", ""),
            ("manager", {"value": ""}),
            (f"{ENTERPRISE}:manager", [{"value": ""}]),
            (f"{ENTERPRISE}.manager", [""]),
            ("manager.value", ""),
            (f"{ENTERPRISE}.manager.value", ""),
            (ENTERPRISE, {"manager": {"value": ""}}),
        ]
    ),
    (
        "clients that write a dot behind the URN",
        "a manager",
        BARE,
        [{"op": "replace", "path": f"{ENTERPRISE}.manager", "value": "7"}],
        {ENTERPRISE: {"manager": {"value": "7"}}},
    ),
    (
        "clients that write a dot behind the URN",
        "a filter and keys",
        FULL,
        [
            {"op": "remove", "path": f'{CORE}.emails[type eq "home"]'},
            {"op": "add", "value": {f"{ENTERPRISE}.department": "Tours", f"{CORE}.name.givenName": "Babs"}},
        ],
        {
            "emails": [{"value": "b@example.com", "type": "work"}],
            "name": {"givenName": "Babs"},
            ENTERPRISE: {"manager": {"value": "1"}, "department": "Tours"},
        },
    ),
    (
        "clients that put all values into lists",
        "single values",
        FULL,
        [
            {"op": "replace", "path": "nickName", "value": ["B"]},
            {"op": "replace", "path": "active", "value": [False]},
            {"op": "replace", "path": "name", "value": [{"givenName": ["Babs"]}]},
            {"op": "add", "value": [{"title": "T"}]},
            {"op": "add", "path": ENTERPRISE, "value": [{"department": ["Tours"]}]},
        ],
        {
            "nickName": "B",
            "active": False,
            "name": {"givenName": "Babs"},
            "title": "T",
            ENTERPRISE: {"manager": {"value": "1"}, "department": "Tours"},
        },
    ),
    (
        "clients that repeat the name",
        "a remove with an object of the list",
        FULL,
        [{"op": "remove", "path": "emails", "value": {"Emails": [{"value": "b@example.com"}]}}],
        {"emails": [{"value": "h@example.com", "type": "home"}]},
    ),
    (
        "clients that write types in any case",
        "an e-mail that is there",
        FULL,
        [{"op": "add", "path": "emails", "value": [{"value": "b@example.com", "type": "WORK", "display": "B"}]}],
        {
            "emails": [
                {"value": "b@example.com", "type": "WORK", "display": "B"},
                {"value": "h@example.com", "type": "home"},
            ]
        },
    ),
    (
        "Entra ID",
        "a manager without the extension's URN, in a list",
        BARE,
        [{"op": "Add", "path": "manager", "value": [{"$ref": "https://example.com/Users/2", "value": "2"}]}],
        {ENTERPRISE: {"manager": {"value": "2", "$ref": "https://example.com/Users/2"}}},
    ),
    (
        "Entra ID",
        "a single value in a list, before the flag aadOptscim062020",
        BARE,
        [
            {"op": "Replace", "path": "displayName", "value": [{"$ref": None, "value": "Babs"}]},
            {"op": "Replace", "path": "name.familyName", "value": [{"value": "Jensen"}]},
            {"op": "Replace", "path": "active", "value": [{"value": "False"}]},
        ],
        {"displayName": "Babs", "name": {"familyName": "Jensen"}, "active": False},
    ),
    (
        "Entra ID",
        "dotted names and URNs as keys, with the flag aadOptscim062020",
        BARE,
        [
            {
                "op": "replace",
                "value": {
                    "displayName": "Babs",
                    "name.givenName": "Barbara",
                    "name.familyName": "Jensen",
                    'emails[type eq "work"].value': "b@example.com",
                    f"{ENTERPRISE}:employeeNumber": "42",
                    f"{ENTERPRISE}:manager": "7",
                },
            }
        ],
        {
            "displayName": "Babs",
            "name": {"givenName": "Barbara", "familyName": "Jensen"},
            "emails": [{"type": "work", "value": "b@example.com"}],
            ENTERPRISE: {"employeeNumber": "42", "manager": {"value": "7"}},
        },
    ),
    (
        "Entra ID",
        "a remove with a list of values",
        FULL,
        [{"op": "Remove", "path": "emails", "value": [{"value": "B@example.com"}, {"value": "gone@example.com"}]}],
        {"emails": [{"value": "h@example.com", "type": "home"}]},
    ),
    (
        "Entra ID",
        "a remove with a value and a filter",
        FULL,
        [{"op": "Remove", "path": 'emails[type eq "work"].value', "value": "b@example.com"}],
        {"emails": [{"value": "h@example.com", "type": "home"}]},
    ),
    (
        "Okta",
        "a path-less replace that deactivates",
        FULL,
        [{"op": "replace", "value": {"active": False}}],
        {"active": False},
    ),
    (
        "Okta",
        "a rename with the id inside the value",
        FULL,
        [{"op": "replace", "value": {"id": "2819c223", "userName": "babs"}}],
        {"userName": "babs"},
    ),
    (
        "Okta",
        "a whole profile with containers, nulls and attributes of its own",
        FULL,
        [
            {
                "op": "replace",
                "value": {
                    "schemas": [CORE, ENTERPRISE, "urn:okta:custom"],
                    "id": "2819c223",
                    "userName": "bjensen",
                    "nickName": None,
                    "emails": [{"value": "n@example.com", "type": "work", "primary": True}],
                    "groups": [],
                    "meta": {"resourceType": "User"},
                    "urn:okta:custom": {"a": 1},
                    ENTERPRISE: {"department": "Tours"},
                },
            }
        ],
        {
            "emails": [{"value": "n@example.com", "type": "work", "primary": True}],
            ENTERPRISE: {"manager": {"value": "1"}, "department": "Tours"},
        },
    ),
    (
        "clients that map one e-mail",
        "a single object in the place of the list",
        BARE,
        [{"op": "replace", "path": "emails", "value": {"value": "b@example.com", "primary": True}}],
        {"emails": [{"value": "b@example.com", "primary": True}]},
    ),
    (
        "clients that map one e-mail",
        "its text in the place of the object",
        FULL,
        [{"op": "replace", "path": 'emails[type eq "work"]', "value": "n@example.com"}],
        {"emails": [{"type": "work", "value": "n@example.com"}, {"value": "h@example.com", "type": "home"}]},
    ),
]


@pytest.mark.parametrize(
    ("before", "operations", "expected"),
    [quirk[2:] for quirk in QUIRKS],
    ids=[f"{quirk[0]}: {quirk[1]}" for quirk in QUIRKS],
)
def test_what_a_client_sends_is_understood(
    apply: Any, before: dict[str, Any], operations: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    found = apply(before, *operations).attributes
    wanted = {name: value for name, value in {**before, **expected}.items() if value is not None and name != "schemas"}
    assert {name: value for name, value in found.items() if name != "schemas"} == wanted
    assert found["schemas"] == [CORE, *([ENTERPRISE] if ENTERPRISE in wanted else [])]
