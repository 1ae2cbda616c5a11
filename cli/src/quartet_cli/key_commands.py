"""The commands of signing keys, of access tokens or audit logs: `./quartet keys list` and `./quartet keys rotate`."""

from typing import Annotated

import typer

from quartet_cli import tables, tenants, tokens
from quartet_cli.api_client import Document
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack
from quartet_cli.tables import Json

app = typer.Typer(help="List and rotate the keys that sign access tokens, or the audit logs.", no_args_is_help=True)
COLUMNS = {"key": "id", "state": "state", "signs from": "signs_from", "verifies until": "verifies_until"}
LOG_COLUMNS = {"verifier key": "vkey", "signs from": "from", "signs until": "until"}
PATHS = {False: "/users/keys", True: "/audit/log/keys"}

Logs = Annotated[bool, typer.Option("--logs", help="The keys that sign the audit logs, not those of access tokens.")]
Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]


@app.command(name="list")
def list_(logs: Logs = False, url: Url = None, as_json: Json = False) -> None:
    """List the keys that sign and verify access tokens, or the audit logs."""
    tables.show(_ask(url, "GET", PATHS[logs])["keys"], LOG_COLUMNS if logs else COLUMNS, as_json=as_json)


@app.command()
def rotate(
    now: Annotated[
        bool,
        typer.Option("--now", help="At once, and withdraw all other keys: all access tokens stop working."),
    ] = False,
    logs: Logs = False,
    url: Url = None,
) -> None:
    """Sign access tokens with another key, one minute from now; or the audit logs, with the old key too for a week."""
    answer = _ask(url, "POST", PATHS[logs] + "/rotate" + ("?now=true" if now else ""))
    tables.show(answer["keys"], LOG_COLUMNS if logs else COLUMNS, as_json=False)


def _ask(url: str | None, method: str, path: str) -> Document:
    stack = Stack(home_path())
    return tenants.ask(url or stack.url, tokens.own_secret(stack.home), method, path)
