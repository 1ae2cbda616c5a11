"""Realm exports of Keycloak: users, credentials, groups, and what is not imported."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from quartet_directory_formats import FormatError, LineError, MemberReference, Record, Result

Read = Callable[..., list[Result]]
ReadRecords = Callable[..., list[Record]]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
SALT, HASH = base64.b64encode(b"s" * 16).decode(), base64.b64encode(b"h" * 64).decode()


def password(algorithm: str, iterations: int, **more: list[str]) -> dict[str, Any]:
    """A credential as Keycloak exports it: JSON in texts."""
    data = {"hashIterations": iterations, "algorithm": algorithm, "additionalParameters": more}
    secret = {"value": HASH, "salt": SALT, "additionalParameters": {}}
    return {"type": "password", "secretData": json.dumps(secret), "credentialData": json.dumps(data)}


def test_users_are_read_with_their_groups(read_records: ReadRecords) -> None:
    user = {
        "id": "5b1", "username": "ada", "email": "ada@example.com", "emailVerified": True, "firstName": "Ada",
        "lastName": "Lovelace", "enabled": False, "totp": False, "createdTimestamp": 1, "notBefore": 0,
        "attributes": {"phoneNumber": ["+44 1", "+44 2"], "shoeSize": ["37"], "locale": ["en"]},
        "credentials": [password("pbkdf2-sha256", 27500), {"type": "otp", "secretData": "{}"}],
        "realmRoles": ["default-roles"], "clientRoles": {"account": ["view"]}, "requiredActions": [],
        "federatedIdentities": [{"identityProvider": "google", "userId": "1"}], "groups": ["/staff/it"],
    }  # fmt: skip
    realm = {"realm": "acme", "roles": {"realm": [{"name": "x"}]}, "clients": [{"users": [1]}], "users": [user]}
    assert read_records("keycloak", json.dumps(realm)) == [
        Record(
            1,
            "user",
            {
                "schemas": [USER],
                "userName": "ada",
                "active": False,
                "externalId": "5b1",
                "name": {"givenName": "Ada", "familyName": "Lovelace"},
                "displayName": "Ada Lovelace",
                "emails": [{"value": "ada@example.com", "type": "work", "primary": True}],
                "phoneNumbers": [{"type": "work", "value": "+44 1"}],
                "locale": "en",
            },
            id="5b1",
            password_hash=f"$pbkdf2-sha256$i=27500${SALT.rstrip('=')}${HASH.rstrip('=')}",
            groups=(MemberReference("/staff/it", "group", external_id="/staff/it"),),
            notes=(
                "The realm roles are not imported: default-roles.",
                "The roles of clients are not imported: account.",
                "The federated identities are not imported: google.",
                "Only the first value of the attribute phoneNumber is imported.",
                "Attributes that are not imported: shoeSize.",
                "A credential is not imported: otp.",
            ),
        )
    ]


def test_attributes_can_be_mapped(read_records: ReadRecords) -> None:
    realm = {"users": [{"username": "ada", "attributes": {"shoeSize": ["37"], "phoneNumber": ["1"]}}]}
    mapping = {"shoeSize": "urn:example:shoes:size", "phoneNumber": ""}
    [user] = read_records("keycloak", json.dumps(realm), mapping=mapping)
    assert (user.resource["urn:example:shoes"], user.notes) == ({"size": "37"}, ())
    assert "phoneNumbers" not in user.resource


def test_hashes_of_all_algorithms_are_taken(read_records: ReadRecords) -> None:
    argon = {"hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]}
    credentials = [
        password("pbkdf2-sha512", 210000),
        password("pbkdf2", 20000),
        password("argon2", 5, **argon),
        {
            "type": "password",
            "hashedSaltedValue": HASH,
            "salt": SALT,
            "hashIterations": 1,
            "algorithm": "pbkdf2-sha256",
        },
    ]
    users = [{"username": f"user{number}", "credentials": [one]} for number, one in enumerate(credentials)]
    salt, value = SALT.rstrip("="), HASH.rstrip("=")
    assert [one.password_hash for one in read_records("keycloak", json.dumps({"users": users}))] == [
        f"$pbkdf2-sha512$i=210000${salt}${value}",
        f"$pbkdf2-sha1$i=20000${salt}${value}",
        f"$argon2id$v=19$m=7168,t=5,p=1${salt}${value}",
        f"$pbkdf2-sha256$i=1${salt}${value}",
    ]


@pytest.mark.parametrize(
    ("credential", "note"),
    [
        (password("md5", 1), "the algorithm md5 is not supported"),
        (password("pbkdf2", 10**9), "1000000000 PBKDF2 iterations are more than 10000000"),
        (password("argon2", 5), "its credential is not complete"),
        ({"type": "password", "secretData": "{"}, "its credential is not complete"),
        ({"type": "password"}, "its credential is not complete"),
    ],
)
def test_a_hash_that_is_not_taken_is_a_note(read_records: ReadRecords, credential: Any, note: str) -> None:
    [user] = read_records("keycloak", json.dumps({"users": [{"username": "ada", "credentials": [credential]}]}))
    assert (user.password_hash, user.notes) == (None, (f"The password hash is not imported: {note}.",))


def test_nested_groups_have_their_paths_as_external_ids(read_records: ReadRecords) -> None:
    it = {"id": "2", "name": "IT", "path": "/Staff/IT", "subGroups": []}
    staff = {
        "id": "1",
        "name": "Staff",
        "path": "/Staff",
        "attributes": {"a": ["b"]},
        "subGroups": [it, {"name": "a/b"}],
    }
    realms = [{"users": [], "groups": [staff]}, {"groups": [{"name": "Guests"}]}]
    found = read_records("keycloak", json.dumps(realms))
    assert [(one.resource["externalId"], one.resource["displayName"]) for one in found] == [
        ("/Staff", "Staff"),
        ("/Staff/IT", "IT"),
        ("/Staff/a~/b", "a/b"),
        ("/Guests", "Guests"),
    ]
    assert [one.external_id for one in found[0].members] == ["/Staff/IT", "/Staff/a~/b"]
    assert (found[0].id, found[0].notes) == ("1", ("Attributes that are not imported: a.",))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"users": [{"id": "1"}]}, "The user has no username."),
        ({"users": [[]]}, "A user must be a JSON object."),
        ({"users": [{"username": "a", "serviceAccountClientId": "c"}]}, "It is the service account of a client"),
        ({"users": [{"username": "a", "groups": [1]}]}, "The groups of a user must be paths."),
        ({"users": [{"username": "a\x00"}]}, "A text has a NUL character."),
        ({"groups": [{"path": "/x"}]}, "The group has no name."),
        ({"groups": [{"name": "x", "subGroups": [1]}]}, "A group must be a JSON object."),
    ],
)
def test_an_element_that_cannot_be_read_is_reported(read: Read, document: Any, reason: str) -> None:
    results = read("keycloak", json.dumps([document, {"users": [{"username": "ada"}]}]))
    broken = [one for one in results if isinstance(one, LineError)]
    assert [(one.line, one.ends) for one in broken] == [(1, False)]
    assert broken[0].reason.startswith(reason)
    assert isinstance(results[-1], Record)


def test_a_file_without_users_and_groups_is_refused(read: Read) -> None:
    with pytest.raises(FormatError, match="The JSON document has no list groups or users"):
        read("keycloak", '{"realm": "acme"}')
