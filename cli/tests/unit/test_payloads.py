"""The demo's payloads."""

import json
from pathlib import Path

import pytest

from quartet_cli import payloads
from quartet_cli.errors import QuartetError

USER = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@example.com"}
GROUP = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
    "members": [{"value": "{userName:ann@example.com}"}],
}


def write(folder: Path, name: str, value: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(value))
    return path


def test_users_are_sent_before_the_groups_that_name_them(tmp_path: Path) -> None:
    files = [write(tmp_path, "a.json", GROUP), write(tmp_path, "b.json", USER)]
    assert [payload.kind for payload in payloads.load(files)] == ["User", "Group"]


def test_a_user_with_a_manager_is_sent_after_the_manager(tmp_path: Path) -> None:
    managed = USER | {"userName": "bob@example.com", "manager": {"value": "{userName:ann@example.com}"}}
    files = [write(tmp_path, "a.json", managed), write(tmp_path, "b.json", USER)]
    assert [payload.body["userName"] for payload in payloads.load(files)] == ["ann@example.com", "bob@example.com"]


def test_placeholders_are_filled_at_any_depth_and_all_else_stays() -> None:
    ids = {"ann@example.com": "1", "bob@example.com": "2"}
    value = {"a": ["{userName:ann@example.com}", {"b": "x {userName:bob@example.com}"}], "c": 3, "d": None, "e": "{x}"}
    assert payloads.filled(value, ids.__getitem__) == {"a": ["1", {"b": "x 2"}], "c": 3, "d": None, "e": "{x}"}


@pytest.mark.parametrize("value", [{"schemas": []}, {"schemas": ["urn:other"]}, [], {}])
def test_a_file_that_is_neither_user_nor_group_is_named(tmp_path: Path, value: object) -> None:
    with pytest.raises(QuartetError, match=r"x\.json must be a SCIM User or Group, got"):
        payloads.load([write(tmp_path, "x.json", value)])


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(QuartetError, match=r"x\.json is not JSON"):
        payloads.load([path])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(QuartetError, match=r"Cannot read .*x\.json: No such file"):
        payloads.load([tmp_path / "x.json"])


def test_the_examples_hold_users_and_groups_in_the_shapes_of_both_providers() -> None:
    examples = payloads.load([])
    assert {(payload.kind, payload.file.name.split("-")[0]) for payload in examples} >= {
        ("User", "okta"),
        ("User", "entra"),
        ("Group", "okta"),
        ("Group", "entra"),
    }


def test_the_examples_refer_only_to_users_that_are_among_them() -> None:
    examples = payloads.load([])
    names = {payload.body["userName"] for payload in examples if payload.kind == "User"}
    referred = set(payloads.PLACEHOLDER.findall(json.dumps([payload.body for payload in examples])))
    assert referred
    assert referred <= names
