"""What the tests of SCIM share: the rules of users and groups, compiled once."""

from typing import Any

import pytest

from quartet_scim.normalise import Normaliser
from quartet_scim.schema import group_resource_type, user_resource_type

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture(scope="session")
def users() -> Normaliser:
    """The rules of users with the enterprise extension."""
    return Normaliser(user_resource_type())


@pytest.fixture(scope="session")
def groups() -> Normaliser:
    """The rules of groups."""
    return Normaliser(group_resource_type())


@pytest.fixture
def enterprise_user() -> dict[str, Any]:
    """A user with every kind of attribute, as an identity provider sends it."""
    return {
        "schemas": [CORE, ENTERPRISE],
        "externalId": "701984",
        "userName": "bjensen@example.com",
        "name": {"formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen", "givenName": "Barbara"},
        "displayName": "Babs Jensen",
        "profileUrl": "https://login.example.com/bjensen",
        "active": True,
        "password": "t1meMa$heen",
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": True},
            {"value": "babs@jensen.example.org", "type": "home"},
        ],
        "addresses": [{"type": "work", "locality": "Hollywood", "country": "US", "primary": True}],
        "x509Certificates": [{"value": "MIIDQzCCAqygAwIBAgICEAAw"}],
        ENTERPRISE: {
            "employeeNumber": "701984",
            "manager": {"value": "26118915", "$ref": "https://example.com/scim/v2/Users/26118915"},
        },
    }
