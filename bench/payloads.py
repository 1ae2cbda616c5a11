"""Payloads of the measurements."""

from typing import Any

import orjson

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def enterprise_user() -> bytes:
    """A full enterprise user, about 3 kB of JSON as an identity provider sends it."""
    kinds = ("work", "home", "other")
    document: dict[str, Any] = {
        "schemas": [CORE, ENTERPRISE],
        "externalId": "00u1ero7vZFVEIYLWPBN",
        "userName": "bjensen@example.com",
        "name": {
            "formatted": "Ms. Barbara J Jensen, III",
            "familyName": "Jensen",
            "givenName": "Barbara",
            "middleName": "Jane",
            "honorificPrefix": "Ms.",
            "honorificSuffix": "III",
        },
        "displayName": "Babs Jensen",
        "nickName": "Babs",
        "profileUrl": "https://login.example.com/bjensen",
        "title": "Tour Guide",
        "userType": "Employee",
        "preferredLanguage": "en-US",
        "locale": "en-US",
        "timezone": "America/Los_Angeles",
        "active": True,
        "password": "t1meMa$heen",  # the example of RFC 7643 section 8.2
        "emails": [{"value": f"{kind}@example.com", "type": kind, "primary": kind == "work"} for kind in kinds],
        "phoneNumbers": [{"value": f"tel:+1-201-555-0{n}23", "type": kind} for n, kind in enumerate(kinds)],
        "ims": [{"value": "bjensen", "type": "xmpp"}],
        "photos": [{"value": f"https://photos.example.com/{size}", "type": size} for size in ("photo", "thumbnail")],
        "addresses": [
            {
                "type": kind,
                "streetAddress": "100 Universal City Plaza",
                "locality": "Hollywood",
                "region": "CA",
                "postalCode": "91608",
                "country": "US",
                "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA",
            }
            for kind in kinds
        ],
        "entitlements": [{"value": f"entitlement-{n}", "display": f"Entitlement {n}"} for n in range(3)],
        "roles": [{"value": "tour-guide", "display": "Tour guide", "primary": True}, {"value": "auditor"}],
        "x509Certificates": [{"value": "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAw" * 16}],
        ENTERPRISE: {
            "employeeNumber": "701984",
            "costCenter": "4130",
            "organization": "Universal Studios",
            "division": "Theme Park",
            "department": "Tour Operations",
            "manager": {"value": "26118915-6090-4610-87e4-49d8ca9f808d", "displayName": "John Smith"},
        },
    }
    return orjson.dumps(document)
