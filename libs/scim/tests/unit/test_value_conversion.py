"""Values: one JSON value against one data type."""

import math
from typing import Any

import pytest

from quartet_scim.schema import Type
from quartet_scim.value_conversion import MAX_STRING_BYTES, SIMPLE, WrongValueError, text

FULL = "x" * MAX_STRING_BYTES


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (Type.STRING, "", ""),
        (Type.STRING, " é\n😀", " é\n😀"),
        (Type.STRING, FULL, FULL),
        (Type.REFERENCE, "https://example.com/a b", "https://example.com/a b"),
        (Type.BOOLEAN, False, False),
        (Type.INTEGER, 2**63 - 1, 2**63 - 1),
        (Type.DECIMAL, 1.5, 1.5),
        (Type.DECIMAL, -3, -3),
        (Type.DATE_TIME, "2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z"),
        (Type.DATE_TIME, "2026-01-31t09:30:00.123456789+05:30", "2026-01-31t09:30:00.123456789+05:30"),
        (Type.DATE_TIME, "2026-01-31T09:30:00", "2026-01-31T09:30:00"),
        (Type.DATE_TIME, "2026-01-31T09:30:00.5", "2026-01-31T09:30:00.5"),
        (Type.BINARY, "aGk=", "aGk="),
        (Type.BINARY, "_-8", "_-8"),
        (Type.BINARY, "", ""),
    ],
)
def test_a_value_of_its_type_is_kept_as_it_is(kind: Type, value: Any, kept: Any) -> None:
    assert SIMPLE[kind](value) == kept


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (Type.STRING, 1, "string"),
        (Type.STRING, ["x"], "string"),
        (Type.STRING, "a\x00b", "NUL"),
        (Type.STRING, "a\ud800b", "surrogate"),
        (Type.STRING, FULL + "x", "longer"),
        (Type.STRING, "é" * (MAX_STRING_BYTES // 2 + 1), "longer"),
        (Type.REFERENCE, {}, "string"),
        (Type.BOOLEAN, "yes", "boolean"),
        (Type.BOOLEAN, 1, "boolean"),
        (Type.BOOLEAN, "", "boolean"),
        (Type.INTEGER, True, "integer"),
        (Type.INTEGER, 1.0, "integer"),
        (Type.INTEGER, "1", "integer"),
        (Type.INTEGER, 2**63, "64 bits"),
        (Type.INTEGER, -(2**63) - 1, "64 bits"),
        (Type.DECIMAL, True, "number"),
        (Type.DECIMAL, "1.5", "number"),
        (Type.DECIMAL, math.nan, "number"),
        (Type.DECIMAL, math.inf, "number"),
        (Type.DECIMAL, 10**400, "64 bits"),
        (Type.DATE_TIME, "2026-01-31", "date and time"),
        (Type.DATE_TIME, "2026-01-31T09:30", "date and time"),
        (Type.DATE_TIME, "2026-02-30T09:30:00Z", "date and time"),
        (Type.DATE_TIME, "2026-01-31T09:30:00+99:00", "date and time"),
        (Type.DATE_TIME, f"2026-01-31T09:30:00.{'1' * 10}Z", "date and time"),
        (Type.DATE_TIME, 1769851800, "string"),
        (Type.BINARY, "a", "base64"),
        (Type.BINARY, "aGk=aGk=", "base64"),
        (Type.BINARY, "aG k", "base64"),
        (Type.BINARY, "aGké", "base64"),
    ],
)
def test_a_value_of_another_type_is_refused_and_the_problem_named(kind: Type, value: Any, problem: str) -> None:
    with pytest.raises(WrongValueError, match=problem):
        SIMPLE[kind](value)


@pytest.mark.parametrize(("sent", "meant"), [("True", True), ("False", False), ("true", True), ("false", False)])
def test_entra_id_sends_booleans_as_strings(sent: str, meant: bool) -> None:
    assert SIMPLE[Type.BOOLEAN](sent) is meant


def test_a_limit_counts_bytes_and_not_characters() -> None:
    assert text(4)("éé") == "éé"
    with pytest.raises(WrongValueError, match="4 bytes"):
        text(4)("ééé")


def test_the_path_of_a_problem_grows_from_the_inside_out() -> None:
    error = WrongValueError("must be a string").under(".value").under("[2]").under("emails").scim_error()
    assert (error.status, error.scim_type, error.detail) == (
        400,
        "invalidValue",
        "emails[2].value must be a string.",
    )
