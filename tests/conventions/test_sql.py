"""What SQL is made of: text of our own, and what comes from outside as its parameters only."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from quartet_cli.layout import CHECKOUT, SERVICES

SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|FROM|WHERE|ORDER BY|COPY|ALTER|CREATE|TRUNCATE|SET)\b|::\w")
LIBRARIES = ("common", "scim_http")
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*(\[\d+\])?")

COLUMNS = "columns by names of our own"
TABLE = "the name of a table or column, a constant of the service that calls it"
FILTER = "what libs/scim makes of a filter: expressions of our own and numbers of parameters"
SORT_KEY = "what libs/scim makes of a sort key: the same"
PAGE = "what libs/scim makes of a page: the same"

KNOWN = {
    ("quartet_common/data/tenant_rows.py", "erase_rows"): {"name": "the name of a table out of the catalogue, quoted"},
    ("quartet_common/data/archived_table.py", "ArchivedTable.export"): {
        "', '.join(self.columns)": "names of our own",
        "self.table": TABLE,
        "self.key": "the same",
    },
    ("quartet_common/data/archived_table.py", "ArchivedTable.restore"): {
        "', '.join(names)": "names of our own",
        "', '.join(values)": "names and expressions of our own",
        "self.table": TABLE,
    },
    ("quartet_common/data/archived_table.py", "ArchivedTable.exists"): {"self.table": TABLE},
    ("quartet_common/messaging/journal.py", ""): {
        "CHOSEN.format(which=OF_ALL)": "made of constants",
        "CHOSEN.format(which=OF_TENANT)": "the same",
    },
    ("quartet_audit/entries/entry_search_store.py", "count_passing"): {
        "CONDITIONS[name]": "conditions of our own, by names that the parser has let through",
        "name": "a key of CONDITIONS",
        "counts": "made of the above",
        "unused": "a constant",
    },
    ("quartet_audit/entries/entry_search_store.py", "_page_of_actions"): {"_order(search)": "one of two constants"},
    ("quartet_audit/entries/entry_search_store.py", "read_page"): {
        "scanned.format(driver=condition, order=order)": "one of two constants, with one of CONDITIONS",
        "order": "one of two constants",
    },
    ("quartet_audit/entries/histogram_store.py", "count"): {
        "column": "one of DIMENSIONS, by a name that the parser has let through",
        "condition": "one of CONDITIONS, the same",
    },
    ("quartet_audit/entries/histogram_store.py", "count_found"): {
        "DIMENSIONS[dimension]": "names of columns, by names that the parser has let through",
    },
    ("quartet_groups/graph_store.py", "read_graph"): {
        "asked_users": "parameters of the two queries that share a text",
        "asked_groups": "the same",
    },
    ("quartet_groups/group_store.py", "each"): {
        "columns": "an argument, which a constant is at every call",
        "table": "the same",
        "key": "the same",
        "more or 'OFFSET 0'": "the same",
    },
    ("quartet_groups/member_store.py", "MemberTexts._all"): {
        "self.user": "expressions of our own, and the service's own address, quoted",
        "self.group": "the same",
    },
    ("quartet_groups/member_store.py", "MemberTexts.column_if_few"): {
        "most + 1": "a number of the configuration",
        "most": "the same",
        "self._all": "expressions of our own",
    },
    ("quartet_groups/member_store.py", "_remove"): {
        "users": "conditions of the statement's own",
        "nested": "the same",
    },
    ("quartet_groups/member_store.py", "read_page"): {
        "texts.user": "expressions of our own, and the service's own address, quoted",
        "texts.group": "the same",
    },
    ("quartet_groups/group_store.py", "read_group"): {"members": "the column that a view chooses, made of constants"},
    ("quartet_groups/group_store.py", "update_group"): {"members": "the same"},
    ("quartet_scim_http/list_store.py", "page_query"): {
        "columns": COLUMNS,
        "page.key": SORT_KEY,
        "page.rows": PAGE,
        "place.table": TABLE,
        "place.tenant": TABLE,
    },
    ("quartet_scim_http/list_store.py", "count_all"): {"place.totals": TABLE},
    ("quartet_scim_http/list_store.py", "count_found"): {
        "place.table": TABLE,
        "place.tenant": TABLE,
        "where.text": FILTER,
    },
    ("quartet_scim_http/list_store.py", "export_resources"): {"table": TABLE},
    ("quartet_users/memberships/membership_store.py", "groups_column"): {
        "'{base}'": "the service's own address, quotes doubled"
    },
    ("quartet_users/memberships/membership_store.py", "read_groups"): {"groups_column(groups_url)": "the above"},
    ("quartet_users/users/user_store.py", "read_user"): {"columns(groups_url)": "columns by names of our own"},
}
"""What SQL is made of besides constants: by file and function, so that the same name elsewhere is not let through; and
why it is not text of others. libs/scim tests itself that filters and sort keys reach its SQL as parameters."""
CALLS = {("quartet_groups", "each")}
"""Functions, by package, whose result may be put into SQL where their arguments are constants."""


@dataclass(frozen=True)
class Insertion:
    """An expression that is put into a text that looks like SQL."""

    function: str
    """Qualified by its class; empty at the level of the module."""
    line: int
    expression: ast.expr
    text: str
    """Its source, as `'{source}'` where SQL quotes surround it, which needs a reason of its own."""


def insertions(module: ast.Module) -> Iterator[Insertion]:
    """All that is put into SQL in a module, with the function that does it."""
    constants = {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign) and _is_sql(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return _insertions(module, constants, "")


def _insertions(parent: ast.AST, constants: set[str], function: str) -> Iterator[Insertion]:
    for node in ast.iter_child_nodes(parent):
        for one, text in _inserted(node, constants):
            yield Insertion(function, one.lineno, one, text)
        inside = function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{function}.{node.name}".lstrip(".")
        yield from _insertions(node, constants, inside)


def _inserted(node: ast.AST, constants: set[str]) -> Iterator[tuple[ast.expr, str]]:
    if isinstance(node, ast.JoinedStr) and _is_sql(node):
        yield from _parts(node)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add) and _is_sql(node.left):
        yield from _parts(node.right)
    elif isinstance(node, ast.Call) and _fills_in(node.func, constants):
        for value in (*node.args, *(one.value for one in node.keywords)):
            yield from _parts(value)


def _parts(node: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    """What an expression inserts: of an f-string its values, of a choice both sides, else itself."""
    if isinstance(node, ast.IfExp):
        yield from (*_parts(node.body), *_parts(node.orelse))
    elif isinstance(node, ast.JoinedStr):
        for before, one in zip([None, *node.values], node.values, strict=False):
            if isinstance(one, ast.FormattedValue):
                text = ast.unparse(one.value)
                quoted = isinstance(before, ast.Constant) and str(before.value).endswith("'")
                yield one.value, f"'{{{text}}}'" if quoted else text
    else:
        yield node, ast.unparse(node)


def _fills_in(called: ast.expr, constants: set[str]) -> bool:
    if not isinstance(called, ast.Attribute) or called.attr not in ("format", "replace"):
        return False
    return _is_sql(called.value) or (isinstance(called.value, ast.Name) and called.value.id in constants)


def _is_sql(node: ast.expr) -> bool:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    fixed = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return SQL.search("".join(fixed)) is not None


def outside_of_stores(file: str, module: ast.Module) -> list[str]:
    """The texts in a module that look like SQL, unless it is a store; without docstrings and scripts of Redis."""
    if file.endswith("store.py"):
        return []
    docs = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(module) if isinstance(node, ast.Constant) and id(node) not in docs)
    return [
        f"{file}:{one.lineno}: {one.value!r}" for one in texts if _is_sql(one) and "redis.call" not in str(one.value)
    ]


def unknown(file: str, module: ast.Module) -> list[str]:
    """What is put into SQL and stands in no list."""
    return [f"{file}:{one.line}: {one.text}" for one in insertions(module) if not _is_known(file, one)]


def _is_known(file: str, one: Insertion) -> bool:
    return _is_constant(one) or one.text in KNOWN.get((file, one.function), {}) or _is_call_with_constants(file, one)


def _is_constant(one: Insertion) -> bool:
    text = ast.unparse(one.expression).rpartition(".")[2]
    return isinstance(one.expression, ast.Constant) or CONSTANT.fullmatch(text) is not None


def _is_call_with_constants(file: str, one: Insertion) -> bool:
    call = one.expression
    if not isinstance(call, ast.Call) or (file.partition("/")[0], ast.unparse(call.func)) not in CALLS:
        return False
    values = (*call.args, *(keyword.value for keyword in call.keywords))
    return all(isinstance(value, ast.Constant) or CONSTANT.fullmatch(ast.unparse(value)) for value in values)


@cache
def sources() -> dict[str, ast.Module]:
    """Every file that holds SQL which tests of its own do not cover, by its path below src."""
    roots = [*CHECKOUT.glob("services/*/src"), *(CHECKOUT / f"libs/{name}/src" for name in LIBRARIES)]
    return {str(path.relative_to(root)): ast.parse(path.read_text()) for root in roots for path in root.rglob("*.py")}


@pytest.mark.parametrize(
    "code",
    [
        "f\"SELECT 1 FROM users WHERE name = '{name}'\"",
        '"SELECT 1 FROM users WHERE name = %s" % name',
        '"SELECT 1 FROM users WHERE name = " + name',
        '"SELECT 1 FROM {}".format(name)',
        "QUERY = 'SELECT 1 FROM {}'; QUERY.format(name)",
        'f"SELECT {each(name)} FROM users"',
    ],
)
def test_text_from_elsewhere_in_sql_is_seen(code: str) -> None:
    assert unknown("quartet_groups/group_store.py", ast.parse(code))


def test_constants_in_sql_are_accepted() -> None:
    assert not unknown("quartet_groups/group_store.py", ast.parse('f"SELECT {COLUMNS} FROM {store.TABLE}"'))


@pytest.mark.parametrize("function", ["entries_of", "count_passing"])
def test_a_name_that_one_function_may_use_is_let_through_nowhere_else_and_never_as_a_value(function: str) -> None:
    code = f"""def {function}(name): return f"SELECT 1 FROM entries WHERE actor = '{{name}}'" """
    assert unknown("quartet_audit/entries/entry_search_store.py", ast.parse(code)) == [
        "quartet_audit/entries/entry_search_store.py:1: '{name}'"
    ]


@pytest.mark.parametrize(
    "code", ["QUERY = 'SELECT 1'", "read(f'name FROM {TABLE}')", "columns = ('id', 'resource::text')"]
)
def test_sql_outside_of_stores_is_seen(code: str) -> None:
    assert outside_of_stores("quartet_groups/group_source.py", ast.parse(code))
    assert not outside_of_stores("quartet_groups/group_store.py", ast.parse(code))


def test_sql_of_services_is_in_their_stores_only() -> None:
    services = {name: tree for name, tree in sources().items() if not name.startswith("quartet_common/")}
    assert not [line for name, tree in services.items() for line in outside_of_stores(name, tree)]


def test_sql_is_made_of_constants_and_of_what_is_known() -> None:
    found = sources()
    assert {name.partition("/")[0] for name in found} == {f"quartet_{one}" for one in (*LIBRARIES, *SERVICES)}
    assert not [line for name, tree in found.items() for line in unknown(name, tree)]


def test_what_is_known_is_still_there() -> None:
    used = {(name, one.function, one.text) for name, tree in sources().items() for one in insertions(tree)}
    listed = {(*place, text) for place, texts in KNOWN.items() for text in texts}
    assert not listed - used
