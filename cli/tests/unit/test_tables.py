"""Lists: nothing is cut off, and JSON has the API's names."""

import json

import pytest

from quartet_cli import tables

ID = "01a2046c-4531-744c-8f2c-3eff55c91727"
ROWS = [
    {"id": ID, "name": "[b]okta", "scopes": ["users:read"] * 12, "created_at": "2026-11-22T18:02:14.193Z", "end": None}
]
COLUMNS = {"id": "id", "name": "name", "created": "created_at", "ends": "end", "scopes": "scopes"}


@pytest.mark.parametrize("columns", ["20", "80"])
def test_a_narrow_terminal_shows_whole_rows(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich takes the output for a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    tables.show(ROWS, COLUMNS, as_json=False)
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "name", "created", "ends", "scopes"]
    assert row.split() == [ID, "[b]okta", "2026-11-22", "18:02", "-", *["users:read"] * 12]


def test_json_is_the_documents_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(ROWS, COLUMNS, as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS
    tables.show([], COLUMNS, as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_no_row_is_filled_up_with_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show([{"id": "1", "text": "x" * 300}, {"id": "2", "text": "y"}], {"id": "id", "text": "text"}, as_json=False)
    assert capsys.readouterr().out.splitlines()[2] == "2   y"
