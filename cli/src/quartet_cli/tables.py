"""Lists as tables, in which nothing is cut off, or as JSON."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quartet_cli.errors import QuartetError

Json = Annotated[bool, typer.Option("--json", help="Print JSON, with the API's field names.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
YES = {True: "yes", False: "no"}
WIDE = 10_000
"""Columns: more than any row needs. A terminal wraps a long row; rich would shorten its ids."""


def console() -> Console:
    """A console that cuts nothing off."""
    return Console(soft_wrap=True, highlight=False, width=WIDE, height=1)  # otherwise 80 columns if TERM is dumb


def show(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print `rows`; `columns` maps the titles of the table to the names of the fields that it shows."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(_text(name, row.get(name))) for name in columns.values()))
    screen = console()
    with screen.capture() as shown:
        screen.print(table)
    for line in shown.get().splitlines():  # without the spaces up to the longest row, which a terminal would wrap
        print(line.rstrip())


def _text(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return YES[value]
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(map(str, value))
    return f"{value}"[:16].replace("T", " ") if name.endswith("_at") else str(value)


def show_one(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a resource, a line for each of its attributes; those that are without a value are left out."""
    if as_json:
        print(json.dumps(document, indent=1))
        return
    lines = {name: text for name, text in _lines(document) if text}
    width = max(map(len, lines), default=0)
    for name, text in lines.items():
        print(f"{name:{width}}  {text}")


def show_id(made: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the id of a resource, and nothing else, or all of it as JSON."""
    print(json.dumps(made, indent=1) if as_json else made["id"])


def note_limit(number: int, limit: int) -> None:
    """Say on standard error that a list may have ended at its limit."""
    if limit and number >= limit:
        print(f"The first {limit} are shown. For all: --limit 0", file=sys.stderr)


def _lines(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The paths of all attributes with their texts."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield prefix + name, ", ".join(_item(one) for one in value)
        elif value is not None:
            yield prefix + name, YES[value] if isinstance(value, bool) else str(value)


def _item(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    shown = str(value.get("display") or value.get("value") or json.dumps(value))
    return f"{shown} ({value['type']})" if value.get("type") else shown


def confirm(question: str, of: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone. Raises QuartetError without a yes."""
    if yes or (sys.stdin.isatty() and typer.confirm(question)):
        return
    advice = "" if sys.stdin.isatty() else f" Without a terminal, use: {of} --yes"
    raise QuartetError(f"Nothing was changed.{advice}")
