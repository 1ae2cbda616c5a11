"""What SQL is made of: text of our own, and what comes from outside as its parameters only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT, SERVICES

SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|FROM|WHERE|ORDER BY|COPY|ALTER|CREATE|TRUNCATE|SET)\b|::\w")
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*(\[\d+\])?")

KNOWN = {
    ("common", "name"): "the name of a table out of the catalogue, quoted",
    ("audit", "COLUMNS[name]"): "names of columns, asked for by names that the parser has let through",
    ("audit", "COLUMNS[driver]"): "the same",
    ("audit", "name"): "a key of COLUMNS",
    ("audit", "counts"): "made of the constants above",
    ("audit", "6 + index"): "the number of a parameter",
    ("audit", "6 + list(COLUMNS).index(driver)"): "the same",
    ("groups", "most + 1"): "a number of the configuration",
    ("groups", "most"): "the same",
    ("groups", "self._all"): "columns of a table's own",
    ("groups", "self.user"): "the same",
    ("groups", "self.group"): "the same",
    ("groups", "texts.user"): "the same",
    ("groups", "texts.group"): "the same",
    ("groups", "members"): "the column that a view chooses, made of constants",
    ("groups", "asked_users"): "parameters of the two queries that share a text",
    ("groups", "asked_groups"): "the same",
    ("groups", "users"): "conditions of the statement's own",
    ("groups", "nested"): "the same",
    ("groups", "columns"): "columns by names of our own",
    ("groups", "table"): "the same",
    ("groups", "key"): "the same",
    ("groups", "more or 'OFFSET 0'"): "the same",
    ("groups", "page.key"): "what libs/scim makes of a sort key: expressions of our own and numbers of parameters",
    ("groups", "page.rows"): "what libs/scim makes of a page: the same",
    ("groups", "where.text"): "what libs/scim makes of a filter: the same",
    ("users", "columns"): "columns by names of our own",
    ("users", "columns(groups_url)"): "the same",
    ("users", "groups_column(groups_url)"): "the same, and the service's own address, quoted",
    ("users", "base"): "the service's own address, quoted",
    ("users", "kind"): "a word of the function's own",
    ("users", "SCOPES_OF.format(user='$2')"): "made of constants",
    ("users", "page.key"): "as for groups",
    ("users", "page.rows"): "as for groups",
    ("users", "where.text"): "as for groups",
}
"""What is put into SQL beside constants, by service, and why that is nobody else's text. libs/scim has tests of its own
for this: filters and sort keys reach its SQL as parameters (libs/scim/tests/integration)."""
CALLS = {("groups", "each"): "called with constants only"}


def interpolated(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """Every expression that is put into a text that looks like SQL, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            fixed = "".join(str(one.value) for one in node.values if isinstance(one, ast.Constant))
            if SQL.search(fixed):
                yield from ((one.lineno, one.value) for one in node.values if isinstance(one, ast.FormattedValue))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add) and _is_sql(node.left):
            yield node.lineno, node.right
        elif isinstance(node, ast.Call) and _fills_in(node.func):
            yield from ((node.lineno, argument) for argument in (*node.args, *(one.value for one in node.keywords)))


def _fills_in(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute) and called.attr in ("format", "replace") and _is_sql(called.value)


def _is_sql(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value) is not None


def unknown(service: str, tree: ast.AST) -> list[str]:
    """What is put into SQL and stands in no list."""
    return [f"{line}: {ast.unparse(one)}" for line, one in interpolated(tree) if not _is_known(service, one)]


def _is_known(service: str, one: ast.expr) -> bool:
    text = ast.unparse(one)
    if CONSTANT.fullmatch(text.rpartition(".")[2]) or (service, text) in KNOWN:
        return True
    if isinstance(one, ast.Call) and (service, ast.unparse(one.func)) in CALLS:
        values = (*one.args, *(keyword.value for keyword in one.keywords))
        return all(isinstance(value, ast.Constant) or CONSTANT.fullmatch(ast.unparse(value)) for value in values)
    return False


@pytest.mark.parametrize(
    "code",
    [
        "f\"SELECT 1 FROM users WHERE name = '{name}'\"",
        '"SELECT 1 FROM users WHERE name = %s" % name',
        '"SELECT 1 FROM users WHERE name = " + name',
        '"SELECT 1 FROM {}".format(name)',
        'f"SELECT {each(name)} FROM users"',
    ],
)
def test_text_from_elsewhere_in_sql_is_seen(code: str) -> None:
    assert unknown("groups", ast.parse(code))


def test_constants_in_sql_are_no_matter() -> None:
    assert not unknown("groups", ast.parse('f"SELECT {COLUMNS} FROM {store.TABLE}"'))


@pytest.mark.parametrize("service", SERVICES)
def test_sql_is_made_of_constants_and_of_what_is_known(service: str) -> None:
    sources = sorted((CHECKOUT / "services" / service / "src").rglob("*.py"))
    assert sources
    assert not [f"{path.name}:{found}" for path in sources for found in _unknown_in(service, path)]


def _unknown_in(service: str, path: Path) -> list[str]:
    return unknown(service, ast.parse(path.read_text()))


def test_the_shared_library_puts_nothing_into_sql_but_constants_and_what_is_known() -> None:
    sources = (CHECKOUT / "libs/common/src").rglob("*.py")
    assert not [f"{path.name}:{found}" for path in sources for found in _unknown_in("common", path)]
