"""What msgspec finds wrong with a JSON body is said in plain English, with the path and without long values."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from quartet_common.core.validation_messages import MAX_SHOWN, NO_CONTROL_CHARACTERS, describe


class Member(msgspec.Struct, forbid_unknown_fields=True):
    value: Annotated[str, Meta(min_length=1, max_length=3)]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=10, pattern=NO_CONTROL_CHARACTERS)]
    code: Annotated[str, Meta(min_length=2, pattern="^a")] = "ab"
    note: str | None = None
    days: Annotated[int, Meta(ge=1, le=30)] = 1
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    even: Annotated[int, Meta(multiple_of=2)] = 2
    active: bool = True
    members: Annotated[list[Member], Meta(max_length=3)] = []
    pair: tuple[int, int] = (1, 2)
    ids: list[UUID] = []
    at: Annotated[datetime, Meta(tz=True)] | None = None
    order: Literal["asc", "desc"] = "asc"
    data: bytes = b""


def message(sent: bytes, kind: Any = Body) -> str:
    """What is said of a body."""
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError, RecursionError)) as caught:
        msgspec.json.decode(sent, type=kind)
    return describe(caught.value)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "name is missing."),
        ({"name": ""}, "name must not be empty."),
        ({"name": "x" * 11}, "name must have at most 10 characters."),
        ({"name": "a\nb"}, "name must not contain control characters."),
        ({"name": 7}, "name must be a string, got a number."),
        ({"name": 7.5}, "name must be a string, got a number with a decimal point or exponent."),
        ({"name": None}, "name must be a string, got null."),
        ({"name": True}, "name must be a string, got a boolean."),
        ({"name": []}, "name must be a string, got a list."),
        ({"name": {}}, "name must be a string, got an object."),
        ({"name": "a", "x": 1}, "unknown member 'x'."),
        ({"name": "a", "x\n": 1}, "unknown member 'x\\n'."),
        ({"name": "a", "code": "a"}, "code must have at least 2 characters."),
        ({"name": "a", "code": "bb"}, "code must match the regular expression '^a'."),
        ({"name": "a", "note": 1}, "note must be a string or null, got a number."),
        ({"name": "a", "days": 0}, "days must be at least 1."),
        ({"name": "a", "days": 31}, "days must be at most 30."),
        ({"name": "a", "days": 1.5}, "days must be a whole number, got a number with a decimal point or exponent."),
        ({"name": "a", "days": "1"}, "days must be a whole number, got a string."),
        ({"name": "a", "share": 0}, "share must be more than 0.0."),
        ({"name": "a", "share": 1}, "share must be less than 1.0."),
        ({"name": "a", "even": 3}, "even must be a multiple of 2."),
        ({"name": "a", "active": 1}, "active must be true or false, got a number."),
        ({"name": "a", "members": {}}, "members must be a list, got an object."),
        ({"name": "a", "members": [{"value": "a"}] * 4}, "members must have at most 3 values."),
        ({"name": "a", "members": [{"value": "a"}, {}]}, "members[1].value is missing."),
        ({"name": "a", "members": [{"value": "a"}, {"value": ""}]}, "members[1].value must not be empty."),
        ({"name": "a", "members": [{"value": "a", "x": 1}]}, "unknown member 'x' in members[0]."),
        ({"name": "a", "pair": [1]}, "pair must have exactly 2 values."),
        ({"name": "a", "ids": ["1"]}, "ids[0] must be a UUID, such as 01a2046c-4531-744c-8f2c-3eff55c91727."),
        ({"name": "a", "at": "now"}, "at must be a date and time with its offset, such as 2026-01-31T09:00:00Z."),
        ({"name": "a", "at": "2026-01-31T09:00:00"}, "at must have a time zone, such as 2026-01-31T09:00:00Z."),
        ({"name": "a", "at": 7}, "at must be a date and time such as 2026-01-31T09:00:00Z or null, got a number."),
        ({"name": "a", "order": "up"}, "order has a value that is not allowed: 'up'."),
        ({"name": "a", "data": "*"}, "data must be base64."),
        ([], "The body must be an object, got a list."),
        (7, "The body must be an object, got a number."),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_path_and_its_rule(sent: Any, said: str) -> None:
    assert message(msgspec.json.encode(sent)) == said


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "The body is not valid JSON: it is empty or incomplete."),
        (b'{"name":', "The body is not valid JSON: it is empty or incomplete."),
        (b"{'name'}", "The body is not valid JSON: object keys must be strings (byte 1)."),
        (b"nothing", "The body is not valid JSON: invalid character (byte 4)."),
        (b'{"name":"\xff"}', "The body is not valid UTF-8."),
        (b'{"name":"a","share":1e400}', "share is a number that is too large."),
    ],
)
def test_a_body_that_cannot_be_parsed_says_why(sent: bytes, said: str) -> None:
    assert message(sent) == said


def test_a_body_that_is_nested_too_deeply_says_so() -> None:
    assert message(b"[" * 100_000, Any) == "The body is nested too deeply."


def test_a_long_name_or_value_is_cut() -> None:
    long = "x" * 10_000

    assert message(msgspec.json.encode({"name": "a", long: 1})) == f"unknown member '{'x' * MAX_SHOWN}...'."
    assert message(msgspec.json.encode({"name": "a", "order": long})).count("x") == MAX_SHOWN


def test_a_name_that_looks_like_the_end_of_a_message_is_still_bounded_and_escaped() -> None:
    said = message(msgspec.json.encode({"name": "a", "\n - at `$.days": 1}))

    assert "\n" not in said
    assert len(said) < 2 * MAX_SHOWN
