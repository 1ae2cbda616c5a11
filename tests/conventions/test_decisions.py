"""Decisions: the index lists every record with its title and state, and what a record refers to exists."""

import re
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT

FOLDER = CHECKOUT / "docs/decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
ROW = re.compile(r"\| \[(\d+)\]\(([^)]+)\) \| (.+) \| (.+) \|")
TITLE = re.compile(r"# 0*(\d+)[.:] (.+)")


def rows() -> dict[str, tuple[str, str, str]]:
    """Number, title and state by file, as the index has them."""
    found = [match for line in (FOLDER / "README.md").read_text().splitlines() if (match := ROW.fullmatch(line))]
    return {match[2]: (match[1], match[3], match[4]) for match in found}


def test_every_record_is_in_the_index_in_order() -> None:
    assert RECORDS
    assert list(rows()) == [path.name for path in RECORDS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_number_and_title_in_the_index_are_those_of_the_record(record: Path) -> None:
    title = TITLE.fullmatch(record.read_text().splitlines()[0])
    assert title is not None
    assert rows()[record.name][:2] == (title[1], title[2])
    assert int(title[1]) == int(record.name[:4])


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_that_does_not_hold_says_so_in_the_index_and_at_its_top(record: Path) -> None:
    state, text = rows()[record.name][2], record.read_text()
    assert state.startswith("outdated") == ("**Outdated" in "\n".join(text.splitlines()[:10]))
    assert state.startswith("corrected") == ("**Correction:**" in text)


def test_no_document_names_a_benchmark_that_is_gone() -> None:
    documents = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("bench/*.md")]
    documents += [*CHECKOUT.glob("libs/*/README.md"), *CHECKOUT.glob("services/*/README.md")]
    named = {(path, name) for path in documents for name in re.findall(r"\bbench/[\w/]+\.py", path.read_text())}
    assert named
    assert not [f"{path.name}: {name}" for path, name in named if not (CHECKOUT / name).is_file()]
