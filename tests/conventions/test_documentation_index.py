"""The index of the documentation: it has each page, with a reading time that is about right."""

import re

import pytest

from quartet_cli.layout import CHECKOUT

FOLDER = CHECKOUT / "docs"
INDEX = FOLDER / "README.md"
ROWS = dict(re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \| (\d+) \|", INDEX.read_text(), re.MULTILINE))
WORDS = 250
"""Words that are read in a minute."""


def test_the_index_has_each_page() -> None:
    pages = {path.name for path in FOLDER.glob("*.md")} - {"README.md"}
    assert set(ROWS) == pages | {"decisions/README.md"}


@pytest.mark.parametrize("page", sorted(ROWS))
def test_the_reading_time_of_a_page_is_about_right(page: str) -> None:
    minutes = len((FOLDER / page).read_text().split()) / WORDS
    assert abs(int(ROWS[page]) - minutes) <= max(1, minutes * 0.2), f"{page} takes {minutes:.1f} minutes"
