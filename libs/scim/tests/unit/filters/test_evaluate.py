"""What a condition says of a document: the rules of RFC 7644 3.4.2.2, and those that it leaves open."""

from typing import Any

import pytest
from scim2_models import EnterpriseUser, ScimFilter, User

from quartet_scim.filters import Resolver, fold, matches, parse
from quartet_scim.schema import ResourceType

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
BADGE = "urn:example:params:scim:schemas:extension:badge:2.0:User"
JENSEN: dict[str, Any] = {
    "schemas": [CORE, ENTERPRISE],
    "id": "2819c223",
    "externalId": "Ext-1",
    "userName": "BJensen@Example.com",
    "nickName": "",
    "active": False,
    "name": {"familyName": "Jensen", "givenName": "Bárbara"},
    "emails": [
        {"value": "b@example.com", "type": "work", "primary": True},
        {"value": "babs@home.example", "type": "home"},
    ],
    ENTERPRISE: {"department": "Tours", "manager": {"value": "26118915"}},
    BADGE: {
        "level": 3,
        "score": 0.1,
        "since": "2026-01-31T10:30:00+01:00",
        "seal": "aGk=",
        "page": "https://example.com/Babs",
        "Tags": ["Red", "blue"],
        "nicks": ["Babs"],
        "doors": [{"value": "A", "floor": 1, "open": True}, {"value": "B", "floor": 2, "open": False}],
    },
    "meta": {"lastModified": "2026-01-31T09:30:00.123Z"},
}

EITHER_WAY = [
    ('userName eq "bjensen@example.COM"', True),
    ('userName sw "BJ"', True),
    ('userName ew ".COM"', True),
    ('userName co "@"', True),
    ('userName co "%"', False),
    ('externalId eq "ext-1"', False),
    ('id eq "2819C223"', False),
    ('nickName eq ""', True),
    ("nickName pr", False),
    ("nickName eq null", False),
    ("title pr", False),
    ("title eq null", True),
    ("title ne null", False),
    ('title eq ""', False),
    ('title ne "x"', True),
    ('not (title eq "x")', True),
    ('title gt ""', False),
    ('title co ""', False),
    ("active eq false", True),
    ("active pr", True),
    ("active ne true", True),
    ("name pr", True),
    ('name.familyName gt "jens"', True),
    ('name.familyName le "JENSEN"', True),
    ('name.givenName eq "BÁRBARA"', True),
    ('emails co "HOME"', True),
    ('emails.type eq "work" and emails.value ew ".example"', True),
    ('emails[type eq "work" and value ew ".example"]', False),
    ('emails[type eq "Work"].value sw "b@"', True),
    ('emails.type ne "work"', False),
    ('emails[type ne "work"]', True),
    ('not (emails[type eq "other"])', True),
    ("emails[primary eq true and primary ne false]", True),
    ("phoneNumbers pr", False),
    ('phoneNumbers.value ne "x"', True),
    (f'{ENTERPRISE}:department eq "tours"', True),
    (f'{ENTERPRISE}:manager.value eq "26118915"', True),
    (f'schemas eq "{CORE}"', True),
    ('meta.lastModified gt "2026-01-31T10:30:00+01:00"', True),
    ('meta.lastModified le "2026-01-31T09:30:00.123Z"', True),
]


@pytest.mark.parametrize(("text", "holds"), EITHER_WAY)
def test_a_user_conforms_to_the_rfc(badge_users: ResourceType, text: str, holds: bool) -> None:
    assert matches(Resolver(badge_users).resolve(parse(text)), JENSEN) is holds


@pytest.mark.parametrize(("text", "holds"), EITHER_WAY)
def test_scim2_models_agrees(text: str, holds: bool) -> None:
    known = {name: value for name, value in JENSEN.items() if name != BADGE}
    assert ScimFilter[User[EnterpriseUser]](text).match(User[EnterpriseUser].model_validate(known)) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (f"{ENTERPRISE} pr", True),
        (f'{ENTERPRISE}:manager eq "26118915"', True),
        (f"{BADGE}:level ge 3.0 and {BADGE}:level lt 4", True),
        (f"{BADGE}:score eq 1e-1", True),
        (f'{BADGE}:since eq "2026-01-31T09:30:00Z"', True),
        (f'{BADGE}:since sw "2026-01-31t10"', True),
        (f'{BADGE}:since eq "2026-01-31T09:30:00"', True),
        (f'{BADGE}:seal eq "aGk="', True),
        (f'{BADGE}:seal eq "agk="', False),
        (f'{BADGE}:page sw "https://example.com/Babs"', True),
        (f'{BADGE}:page eq "https://example.com/babs"', False),
        (f'{BADGE}.Tags[value eq "Red"]', True),
        (f'{ENTERPRISE}.manager eq "26118915" and {ENTERPRISE}.manager.value pr', True),
        (f'{CORE}.userName eq "bjensen@example.com" and {CORE}.name.familyName pr', True),
        (f'{BADGE}:Tags eq "red"', False),
        (f'{BADGE}:Tags[value eq "Red"]', True),
        (f'{BADGE}:nicks eq "BABS"', True),
        (f"{BADGE}:doors[floor eq 1 and open eq true]", True),
        (f"{BADGE}:doors[floor eq 2 and open eq true]", False),
        (f"{BADGE}:doors.floor gt 1", True),
        (f"{BADGE}:doors.keys eq null", True),
        (f"{BADGE}:armed eq null and not ({BADGE}:armed pr)", True),
    ],
)
def test_every_data_type_is_compared_by_its_own_rules(badge_users: ResourceType, text: str, holds: bool) -> None:
    assert matches(Resolver(badge_users).resolve(parse(text)), JENSEN) is holds


@pytest.mark.parametrize("document", [{}, [], None, 1, {BADGE: 1}, {"emails": "x"}, {"name": [[]]}, {"active": "x"}])
def test_a_document_of_any_shape_is_judged_without_a_failure(badge_users: ResourceType, document: Any) -> None:
    resolver = Resolver(badge_users)
    for text, _ in EITHER_WAY:
        assert matches(resolver.resolve(parse(text)), document) in (True, False)


def test_case_is_folded_for_each_character_by_itself() -> None:
    assert fold("ΟΔΥΣΣΕΥΣ İX") == "οδυσσευσ ix"
    assert fold("BJensen") == "bjensen"
