"""Names: docs/glossary.md has the terms of the project, and names that were replaced by plainer ones stay away."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT, SERVICES

GLOSSARY = CHECKOUT / "docs/glossary.md"
DOCUMENTS = (GLOSSARY, CHECKOUT / "docs/architecture.md")
ROW = re.compile(r"\| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
FILE = re.compile(r"(?<=`)[\w*./<>-]+/(?=`)|(?<![\w./])[\w*<][\w*./<>-]*\.(?:py|json|sql|yaml|template|sh)\b")
"""Names of files, and of folders between backticks."""
TERMS = {
    "aggregate", "api", "backlog", "caller", "consumer", "container", "cursor", "dead letter", "delay queue", "domain",
    "entry", "erasure", "event", "holder", "inbox", "introspection", "journal", "lockout", "member", "metric",
    "migrate", "migration", "models", "nesting", "outbox", "platform", "principal", "privileged", "projection",
    "redrive", "relay", "replay", "revocation", "revocation queue", "role", "schedule", "scope", "share", "store",
    "subscription", "tenant", "tombstone", "topology", "unit of work", "urgent event", "use case", "view", "worker",
}  # fmt: skip
"""Terms that a reader of the code meets first."""
LIBRARIES = {CHECKOUT / f"libs/{name}/src/quartet_{name}" for name in ("common", "serving")}
PACKAGES = {
    CHECKOUT / f"libs/{name}/src/quartet_{name}"
    for name in ("audit_verifier", "common", "directory_formats", "serving", "scim", "scim_http")
}
PACKAGES |= {CHECKOUT / f"services/{name}/src/quartet_{name}" for name in SERVICES} | {CHECKOUT / "cli/src/quartet_cli"}
"""The package whose texts are not checked."""

OLD_MODULES = {
    "answers", "clocks", "documents", "effort", "forwarded", "joining", "large", "ledger", "losses", "mentions",
    "observed", "private", "refusals", "slots", "summaries", "sums", "turns", "words",
}  # fmt: skip
"""Names of modules that were replaced in all packages."""
OLD_NAMES = {
    "Hold", "LoginGuard", "Means", "NOWHERE", "OURS", "RefusalLog", "Summaries", "Sums", "Turn", "Turns", "UNSAYABLE",
    "UnheardError", "_bury", "_deaf", "_tell", "bury", "go_on", "happened", "hold_schemas", "in_turn", "lane",
    "learn_groups", "learn_users", "losers", "note_places", "revoke_rest", "run_with_rights", "take_grants", "tell",
    "told", "waves", "with_members",
}  # fmt: skip
"""Identifiers that were replaced in all packages."""
OLD_NAMES_OF_LIBRARIES = {"places", "room"}
"""Identifiers that were replaced in libs/common and libs/serving."""
OLD_PREFIXES = ("demand_", "_demand_")
LITERARY = re.compile(
    r"\b(beside|parted|mended|whoever|means to|there is nothing that|by (it|them)sel(f|ves)|at hand|giv(e|es|en) back"
    r"|nobody|somebody|anybody|everybody)\b",
    re.IGNORECASE,
)
"""Words for which comments and texts have plain technical ones."""


def sources(packages: set[Path]) -> list[Path]:
    """The modules of some packages."""
    found = sorted(path for package in packages for path in package.rglob("*.py"))
    assert len(found) > len(packages)
    return found


def tokens(path: Path, kind: int) -> Iterator[str]:
    """The text of all tokens of a kind in a module."""
    with tokenize.open(path) as source:
        read = io.StringIO(source.read()).readline
    yield from (token.string for token in tokenize.generate_tokens(read) if token.type == kind)


def rows(text: str) -> list[tuple[str, ...]]:
    """The cells of all rows of tables with three columns, without their headings."""
    found = [match.groups() for line in text.splitlines() if (match := ROW.fullmatch(line))]
    return [row for row in found if row[0] != "term" and set(row[0]) != {"-"}]


def test_the_glossary_has_each_term_once() -> None:
    counts = Counter(row[0] for row in rows(GLOSSARY.read_text()))
    assert TERMS - counts.keys() == set()
    assert [term for term, count in counts.items() if count > 1] == []


def test_terms_are_in_alphabetical_order_and_have_one_line_each() -> None:
    for section in GLOSSARY.read_text().split("\n## ")[1:]:
        terms = [row[0].lower() for row in rows(section)]
        assert terms == sorted(terms)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    named = set(FILE.findall(document.read_text()))
    assert named
    assert [name for name in sorted(named) if not exists(name)] == []


def exists(name: str) -> bool:
    """Whether a file or folder exists below the checkout or in a package; `*` and `<type>` stand for any text."""
    pattern = re.sub(r"<\w+>", "*", name.rstrip("/"))
    return bool(next(CHECKOUT.glob(pattern), None)) or any(next(one.glob(f"**/{pattern}"), None) for one in PACKAGES)


def test_no_module_has_an_old_name() -> None:
    assert [path for path in sources(PACKAGES) if path.stem in OLD_MODULES or path.stem.endswith("_documents")] == []


def test_no_identifier_is_an_old_name() -> None:
    for path in sources(PACKAGES):
        names = set(tokens(path, tokenize.NAME))
        assert names & OLD_NAMES == set(), path
        assert [name for name in names if name.startswith(OLD_PREFIXES)] == [], path
    for path in sources(LIBRARIES):
        assert set(tokens(path, tokenize.NAME)) & OLD_NAMES_OF_LIBRARIES == set(), path


def test_no_module_imports_a_private_name() -> None:
    for path in sources(PACKAGES):
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        own = [node for node in imports if (node.module or "").startswith("quartet_")]
        assert [name.name for node in own for name in node.names if name.name.startswith("_")] == [], path


@pytest.mark.parametrize("kind", [tokenize.COMMENT, tokenize.STRING], ids=["comments", "texts"])
def test_comments_and_texts_are_plain(kind: int) -> None:
    for path in sources(PACKAGES):
        assert [text for text in tokens(path, kind) if LITERARY.search(text)] == [], path
