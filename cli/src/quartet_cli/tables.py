"""Lists as tables, in which nothing is cut off, or as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print the whole list as JSON, with the API's field names.")]
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
    console().print(table)


def _text(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(map(str, value))
    return f"{value}"[:16].replace("T", " ") if name.endswith("_at") else str(value)
