"""Links: those of the documents lead to files and headings that exist, and modules that they name exist."""

import fnmatch
import re
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT

PATTERNS = ("*.md", "docs/**/*.md", "bench/*.md", "tests/*.md", "cli/*.md", "libs/**/README.md", "services/*/*.md")
DOCUMENTS = sorted(path for pattern in PATTERNS for path in CHECKOUT.glob(pattern))
CURRENT = [path for path in DOCUMENTS if "decisions" not in path.parts and path.name != "CHANGELOG.md"]
"""Without records of the past."""
FOLDERS = ("bench", "cli", "deploy", "libs", "services", "tests")
MODULES = [f"/{path.relative_to(CHECKOUT)}" for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*.py")]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(document: Path) -> set[str]:
    """The anchors of all headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", text)).lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for name, anchor in LINK.findall(document.read_text()):
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{name} does not exist"
        assert not anchor or anchor in anchors(target), f"{name}#{anchor} does not exist"


@pytest.mark.parametrize("document", CURRENT, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_modules_that_a_document_names_exist(document: Path) -> None:
    named = set(re.findall(r"(?<![\w./-])[\w*<][\w*./<>-]*\.py\b", document.read_text()))
    assert [name for name in sorted(named) if not fnmatch.filter(MODULES, f"*/{re.sub('<.*?>', '*', name)}")] == []
