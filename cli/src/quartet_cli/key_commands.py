"""The commands of signing keys: `./quartet keys list` and `./quartet keys rotate`."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from quartet_cli import tenants, tokens
from quartet_cli.answers import Document
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack

app = typer.Typer(help="List and rotate the keys that sign access tokens.", no_args_is_help=True)
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)

Url = Annotated[str | None, typer.Option(help="Another stack's URL (its admin secret stands in this home).")]


@app.command(name="list")
def list_(url: Url = None) -> None:
    """Show the keys that sign and verify access tokens."""
    _show(_ask(url, "GET", "/users/keys"))


@app.command()
def rotate(
    now: Annotated[
        bool, typer.Option("--now", help="At once, and withdraw all others: every access token ends.")
    ] = False,
    url: Url = None,
) -> None:
    """Have another key sign access tokens, a minute from now."""
    _show(_ask(url, "POST", "/users/keys/rotate" + ("?now=true" if now else "")))


def _ask(url: str | None, method: str, path: str) -> Document:
    stack = Stack(home_path())
    return tenants.ask(url or stack.url, tokens.own_secret(stack.home), method, path)


def _show(answer: Document) -> None:
    table = Table("key", "state", "signs from", "verifies until", box=None, pad_edge=False)
    for key in answer["keys"]:
        table.add_row(key["id"], key["state"], key["signs_from"], key["verifies_until"] or "-")
    out.print(table)
