"""The commands of signing keys: `./quartet keys list` and `./quartet keys rotate`."""

from typing import Annotated

import typer

from quartet_cli import tables, tenants, tokens
from quartet_cli.api_client import Document
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack
from quartet_cli.tables import Json

app = typer.Typer(help="List and rotate the keys that sign access tokens.", no_args_is_help=True)
COLUMNS = {"key": "id", "state": "state", "signs from": "signs_from", "verifies until": "verifies_until"}

Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]


@app.command(name="list")
def list_(url: Url = None, as_json: Json = False) -> None:
    """List the keys that sign and verify access tokens."""
    tables.show(_ask(url, "GET", "/users/keys")["keys"], COLUMNS, as_json=as_json)


@app.command()
def rotate(
    now: Annotated[
        bool,
        typer.Option("--now", help="At once, and withdraw all other keys: all access tokens stop working."),
    ] = False,
    url: Url = None,
) -> None:
    """Sign access tokens with another key, one minute from now."""
    answer = _ask(url, "POST", "/users/keys/rotate" + ("?now=true" if now else ""))
    tables.show(answer["keys"], COLUMNS, as_json=False)


def _ask(url: str | None, method: str, path: str) -> Document:
    stack = Stack(home_path())
    return tenants.ask(url or stack.url, tokens.own_secret(stack.home), method, path)
