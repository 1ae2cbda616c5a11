"""What the filter tests share, unit and integration: a resource type with every data type, documents, filters."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st

from quartet_scim.normalise import Normaliser
from quartet_scim.schema import ResourceType, Schema, user_resource_type

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
BADGE = "urn:example:params:scim:schemas:extension:badge:2.0:User"
BADGE_SCHEMA = {
    "id": BADGE,
    "name": "Badge",
    "attributes": [
        {"name": "level", "type": "integer"},
        {"name": "score", "type": "decimal"},
        {"name": "since", "type": "dateTime"},
        {"name": "armed", "type": "boolean"},
        {"name": "seal", "type": "binary"},
        {"name": "page", "type": "reference", "referenceTypes": ["external"], "caseExact": False},
        {"name": "pin", "type": "string", "returned": "never"},
        {"name": "Tags", "type": "string", "multiValued": True, "caseExact": True},
        {"name": "nicks", "type": "string", "multiValued": True},
        {"name": "floors", "type": "integer", "multiValued": True},
        {
            "name": "doors",
            "type": "complex",
            "multiValued": True,
            "subAttributes": [
                {"name": "value", "type": "string", "caseExact": True},
                {"name": "label", "type": "string"},
                {"name": "floor", "type": "integer"},
                {"name": "open", "type": "boolean"},
                {"name": "since", "type": "dateTime"},
                {"name": "keys", "type": "string", "multiValued": True},
            ],
        },
    ],
}

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "B",
    "a%",
    "a_",
    "%",
    "_",
    "\\",
    "a\\%",
    "é",
    "É",
    "ΑΣ",
    "ας",
    "İ",
    "E\u0301",
    "\uff41",
    "\u00df",
    "'",
    '"',
    "😀",
    "\ue000",
]
MOMENTS = [
    "2026-01-31T09:30:00Z",
    "2026-01-31T09:30:00",
    "2026-01-31T09:30:00.123",
    "2026-01-31T10:30:00.000+01:00",
    "2026-01-31t09:30:00.0000004z",
    "2026-01-31T09:30:00.0000006Z",
    "2026-01-31T09:30:00.123Z",
    "2024-02-29T23:59:59.9999999-15:59",
    "9999-12-31T23:59:59.9999999-12:00",
    "0001-01-01T00:00:00+15:00",
    "2026-01-31T09:30:00+23:00",
]
NUMBERS = [0, 1, 1.0, -1, 0.1, 1e2, 2**53 + 1, 1152921504606847232.0, 1152921504606847232, 1e300, -0.0]
WHOLE = [number for number in NUMBERS if isinstance(number, int)]
IDS = [str(UUID(int=number)) for number in range(1, 4)]
SHOWN = ["2026-01-31T09:30:00.000Z", "2026-01-31T09:30:00.001Z", "2026-01-31T09:30:00.123Z"]

_text = st.sampled_from(TEXTS)
_moment = st.sampled_from(MOMENTS)
_flag = st.booleans()
_whole = st.sampled_from(WHOLE)


def _object(**attributes: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=attributes)


def _list(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, max_size=3)


_documents = st.builds(
    lambda required, rest, badge: {"schemas": [USER], **required, **rest, BADGE: badge},
    st.fixed_dictionaries({"userName": _text.filter(str.strip)}),
    st.fixed_dictionaries(
        {},
        optional={
            "externalId": _text,
            "displayName": _text,
            "nickName": _text,
            "profileUrl": _text,
            "active": _flag,
            "name": _object(familyName=_text, givenName=_text),
            "emails": _list(_object(value=_text, type=st.sampled_from(["work", "Work", "home"]), display=_text)),
            "x509Certificates": _list(_object(value=st.sampled_from(["YQ==", "Yg=="]), type=_text)),
            ENTERPRISE: _object(department=_text, manager=_object(value=_text)),
        },
    ),
    _object(
        level=_whole,
        score=st.sampled_from(NUMBERS),
        since=_moment,
        armed=_flag,
        seal=st.sampled_from(["YQ==", "yq=="]),
        page=_text,
        Tags=_list(_text),
        nicks=_list(_text),
        floors=_list(_whole),
        doors=_list(_object(value=_text, label=_text, floor=_whole, open=_flag, since=_moment, keys=_list(_text))),
    ),
)

_STRING_PATHS = ["userName", "externalId", "displayName", "nickName", "profileUrl", "name.familyName", "emails"]
_STRING_PATHS += ["emails.type", "emails.value", f"{ENTERPRISE}:department", f"{ENTERPRISE}:manager.value", "id"]
_STRING_PATHS += [f"{USER}:nickName", f"{BADGE}:Tags", f"{BADGE}:nicks", f"{BADGE}:doors", f"{BADGE}:doors.label"]
_STRING_PATHS += [f"{BADGE}:page", f"{ENTERPRISE}.department"]
_STRING_PATHS += [f"{BADGE}:doors.keys", "groups", "groups.value", "meta.resourceType", "schemas"]
_DATES = [f"{BADGE}:since", f"{BADGE}:doors.since", "meta.created", "meta.lastModified"]
_COMPLEX = ["name", "meta", BADGE, ENTERPRISE, "emails", "groups", f"{BADGE}:doors", f"{ENTERPRISE}:manager"]
_ORDER = ["eq", "ne", "gt", "ge", "lt", "le"]
_PARTS = ["co", "sw", "ew"]


def _tests(paths: list[str], operators: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    written = st.tuples(st.sampled_from(paths), st.sampled_from(operators), values.map(json.dumps))
    return written.map(lambda parts: f"{_cased(parts[0])} {parts[1]} {parts[2]}")


def _cased(path: str) -> str:
    # Names of attributes and URNs may be of any case; which one follows from the path, so that tests can be repeated.
    return path.swapcase() if len(path) % 3 == 0 and not path.startswith("urn") else path


def _leaves(strings: list[str], numbers: list[str], flags: list[str], dates: list[str]) -> st.SearchStrategy[str]:
    every = [*strings, *numbers, *flags, *dates]
    return st.one_of(
        _tests(strings, [*_ORDER, *_PARTS], _text | st.sampled_from(["work", *IDS, IDS[0].upper()])),
        _tests(numbers, _ORDER, st.sampled_from(NUMBERS)),
        _tests(flags, ["eq", "ne"], _flag | st.sampled_from(["True", "False"])),
        _tests(dates, _ORDER, st.sampled_from([*MOMENTS[:-1], *SHOWN])),
        _tests(dates, _PARTS, st.sampled_from(["2026-01", "t09:30", "Z"])),
        _tests(every, ["eq", "ne"], st.none()),
        st.sampled_from(every).map(lambda path: f"{_cased(path)} pr"),
    )


def _joined(terms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # Without parentheses wherever the grammar allows it: the precedence is what is asked.
    chain = st.lists(st.tuples(terms, st.sampled_from([" and ", " or ", " AND ", " Or "])), min_size=2, max_size=4)
    return st.one_of(
        chain.map(lambda parts: "".join(f"{term}{word}" for term, word in parts).rsplit(" ", 2)[0]),
        terms.map("not ({})".format),
        terms.map("({})".format),
    )


_inside_emails = st.recursive(
    st.one_of(
        _tests(["value", "type", "display"], [*_ORDER, *_PARTS], _text | st.just("work")),
        _tests(["primary"], ["eq", "ne"], _flag),
        st.sampled_from(["value pr", "primary pr", "type eq null"]),
    ),
    _joined,
    max_leaves=3,
)
_inside_doors = st.recursive(_leaves(["value", "label", "keys"], ["floor"], ["open"], ["since"]), _joined, max_leaves=3)
_inside_groups = st.recursive(
    _tests(["value"], ["eq", "ne", "co"], st.sampled_from([*IDS, "0"])), _joined, max_leaves=2
)
_inside_lists = st.recursive(
    st.one_of(_tests(["value"], [*_ORDER, *_PARTS], _text), st.just("value pr")), _joined, max_leaves=2
)
_filters = st.recursive(
    st.one_of(
        _leaves(
            _STRING_PATHS,
            [f"{BADGE}:level", f"{BADGE}:score", f"{BADGE}:floors", f"{BADGE}:doors.floor"],
            ["active", f"{BADGE}:armed", f"{BADGE}:doors.open"],
            _DATES,
        ),
        st.sampled_from(_COMPLEX).map("{} pr".format),
        st.sampled_from(_COMPLEX).map("{} eq null".format),
        _inside_emails.map("emails[{}]".format),
        _inside_emails.map('emails[{}].value eq "a"'.format),
        _inside_doors.map(f"{BADGE}:doors[{{}}]".format),
        _inside_lists.map(f"{BADGE}:nicks[{{}}]".format),
        _inside_lists.map(f"{BADGE}:Tags[{{}}]".format),
        _inside_groups.map("groups[{}]".format),
        st.sampled_from(["eq", "ne"]).map(f'{BADGE}:seal {{}} "YQ=="'.format),
        st.sampled_from(["eq", "ne"]).map('x509Certificates {} "YQ=="'.format),
    ),
    _joined,
    max_leaves=6,
)


@pytest.fixture(scope="session")
def badge_users() -> ResourceType:
    """Users with an extension that has every data type."""
    return user_resource_type(Schema.from_document(BADGE_SCHEMA))


@pytest.fixture(scope="session")
def documents(badge_users: ResourceType) -> st.SearchStrategy[dict[str, Any]]:
    """Whole resources in canonical form, with id, meta and groups."""
    normaliser = Normaliser(badge_users)

    def whole(sent: dict[str, Any], resource_id: str, seen: tuple[str, str], groups: list[str]) -> dict[str, Any]:
        kept = normaliser.normalise(sent).attributes
        meta = {"resourceType": "User", "created": seen[0], "lastModified": seen[1]}
        more = {"groups": [{"value": group} for group in groups]} if groups else {}
        return {"id": resource_id, **kept, **more, "meta": meta}

    shown = st.sampled_from(SHOWN)
    some_groups = st.lists(st.sampled_from(IDS), max_size=2, unique=True)
    every = st.builds(whole, _documents, st.sampled_from(IDS), st.tuples(shown, shown), some_groups)
    return st.composite(lambda draw: draw(every))()


@pytest.fixture(scope="session")
def filters() -> st.SearchStrategy[str]:
    """Filters on such resources, valid all of them."""
    return st.composite(lambda draw: draw(_filters))()  # the strategy itself would be printed on many pages
