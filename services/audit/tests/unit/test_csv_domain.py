"""CSV: rows that any reader of RFC 4180 takes, and that no spreadsheet runs."""

import csv
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_audit.exports.csv_domain import COLUMNS, HEADER, csv_lines, safe_cell

ENTRY = {
    "id": "019a",
    "sequence": 41,
    "time": "2026-01-31T09:00:00Z",
    "recorded_time": "2026-01-31T09:00:01Z",
    "tenant": "acme",
    "action": "users.user.created",
    "type": "quartet.users.user.created.v1",
    "actor": "okta",
    "resource": {"type": "users", "id": "2819"},
    "outcome": "success",
    "trace_id": None,
    "actor_name": "Ökta",
    "actor_type": "client",
    "resource_name": 'the "best", by far',
    "source_address": "192.0.2.7",
    "user_agent": "=HYPERLINK(1)",
    "data": {"name": ["=1+1"], "count": 3},
}


def rows(*entries: dict[str, Any]) -> list[dict[str, str]]:
    """The rows as a reader has them."""
    text = (HEADER + csv_lines([msgspec.json.encode(entry) for entry in entries])).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_row_has_each_member_of_an_entry_in_its_column() -> None:
    [row] = rows(ENTRY)
    assert list(row) == list(COLUMNS)
    assert (row["sequence"], row["actor_name"], row["resource_type"], row["resource_id"]) == (
        *("41", "Ökta", "users", "2819"),
    )
    assert row["resource_name"] == 'the "best", by far'
    assert (row["trace_id"], row["erased"]) == ("", "")
    assert json.loads(row["data"]) == ENTRY["data"]
    assert row["user_agent"] == "'=HYPERLINK(1)"


def test_every_member_of_an_entry_has_a_column() -> None:
    members = (set(ENTRY) - {"resource"}) | {"resource_type", "resource_id", "erased"}
    assert members == set(COLUMNS)


def test_an_erased_part_is_shown_as_erased() -> None:
    erased = [{"part": "changes", "time": "2026-02-01T09:00:00Z", "request": "019b"}]
    [row] = rows({**ENTRY, "data": None, "erased": erased})
    assert (row["data"], json.loads(row["erased"])) == ("", erased)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
@pytest.mark.parametrize("before", ["", " ", "  ", "\u00a0", "\u2003", "\ufeff", "\t", "\r\n", "\u200b "])
def test_a_cell_that_would_be_a_formula_begins_with_an_apostrophe(before: str, start: str) -> None:
    [row] = rows({**ENTRY, "resource_name": f"{before}{start}cmd|' /C calc'!A0"})
    assert row["resource_name"].startswith("'")


@pytest.mark.parametrize("text", ["a=1", "", "bjensen@example.com", "'=1", "1-2", "Ä", "  a", '"=1'])
def test_another_cell_stays_as_it_is(text: str) -> None:
    assert safe_cell(text) == text


def test_an_entry_is_one_line_whatever_it_holds() -> None:
    odd = "a\r\nb\nc\rd\x00e\x0bf\x1cg\tz\x7f"
    line = csv_lines([msgspec.json.encode({**ENTRY, "resource_name": odd})])
    assert line.count(b"\n") == line.count(b"\r") == 1
    assert line.endswith(b"\r\n")
    [row] = rows({**ENTRY, "resource_name": odd})
    assert row["resource_name"] == r"a\r\nb\nc\rd\u0000e\u000bf\u001cg\tz\u007f"


@given(st.text(max_size=30))
def test_any_text_is_read_back_but_for_what_is_changed_on_purpose(text: str) -> None:
    [row] = rows({**ENTRY, "resource_name": text, "user_agent": text})
    expected = safe_cell(text)
    assert (row["resource_name"], row["user_agent"]) == (expected, expected)
    assert not any(ord(letter) < 32 for letter in expected)
    assert expected.lstrip()[:1] not in tuple("=+-@")
