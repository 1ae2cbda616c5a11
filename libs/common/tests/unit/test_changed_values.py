"""Changed values: what an update event says of attributes before and after."""

from typing import Any

import orjson
import pytest

from quartet_common.messaging.changed_values import MASK, MAX_CHANGES, MAX_TOTAL, MAX_VALUE, changed_values

URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def test_each_path_has_its_value_before_and_after() -> None:
    before = {"name": {"givenName": "Babs", "familyName": "Jensen"}, "title": "Guide", "active": True}
    after = {"name": {"givenName": "Barbara", "familyName": "Jensen"}, "nickName": "Babs", "active": False}
    assert changed_values(before, after, ["active", "name", "nickName", "title"]) == {
        "changes": [
            {"path": "active", "before": True, "after": False},
            {"path": "name.givenName", "before": "Babs", "after": "Barbara"},
            {"path": "nickName", "after": "Babs"},
            {"path": "title", "before": "Guide"},
        ]
    }


def test_attributes_of_an_extension_follow_its_urn() -> None:
    after = {URN: {"department": "Tours", "manager": {"value": "26118915", "displayName": "John"}}}
    assert [one["path"] for one in changed_values({}, after, [URN])["changes"]] == [
        f"{URN}:department",
        f"{URN}:manager.displayName",
        f"{URN}:manager.value",
    ]


def test_an_array_is_one_value() -> None:
    old, new = [{"value": "b@example.com", "type": "work"}], [{"value": "babs@example.com"}]
    [change] = changed_values({"emails": old}, {"emails": new}, ["emails"])["changes"]
    assert change == {"path": "emails", "before": old, "after": new}


def test_what_is_named_and_has_no_values_is_masked() -> None:
    assert changed_values({}, {}, ["password"]) == {"changes": [{"path": "password", "before": MASK, "after": MASK}]}


@pytest.mark.parametrize(
    "before",
    [
        {"apiToken": "s3cret"},
        {"badge": {"passwordHash": "s3cret"}},
        {"badge": {"apiTokens": {"value": "s3cret"}}},
        {"badges": [{"clientSecret": "s3cret", "color": "red"}]},
        {"badges": [{"inner": {"credentials": ["s3cret"]}}]},
        {"urn:example:Badge": {"privateKey": "s3cret"}},
    ],
)
def test_attributes_with_the_name_of_a_secret_are_masked_wherever_they_are(before: dict[str, Any]) -> None:
    [change] = changed_values(before, {}, before.keys())["changes"]
    assert "s3cret" not in str(change)
    assert MASK in str(change)


def test_an_urn_is_no_name_of_a_secret() -> None:
    [change] = changed_values({}, {"urn:example:tokens:Badge": {"number": 7}}, ["urn:example:tokens:Badge"])["changes"]
    assert change == {"path": "urn:example:tokens:Badge:number", "after": 7}


def test_a_long_value_is_cut_and_marked() -> None:
    text, items = "x" * MAX_VALUE, [{"value": "x" * MAX_VALUE}]
    changes = changed_values({"a": text, "b": items, "c": "x" * 1000}, {"a": "short"}, "abc")["changes"]
    assert changes == [
        {"path": "a", "before": "x" * 256, "after": "short", "cut": True},
        {"path": "b", "cut": True},
        {"path": "c", "before": "x" * 1000},
    ]


@pytest.mark.parametrize("value", ["x", "x" * 1000, "\U0001f600" * 200, "\x01" * 1000])
def test_all_changes_of_an_event_have_a_bound_and_those_beyond_it_are_counted(value: str) -> None:
    before = {f"attribute{number:04}": value for number in range(1000)}
    found = changed_values(before, {}, before)
    assert len(found["changes"]) + found["changesOmitted"] == 1000
    assert 10 <= len(found["changes"]) <= MAX_CHANGES
    assert len(orjson.dumps(found)) < MAX_TOTAL + 500
