"""The commands of signing keys, of access tokens or audit logs: `./quartet keys list` and `./quartet keys rotate`."""

from typing import Annotated

import typer

from quartet_cli import tables
from quartet_cli.api import Api, command
from quartet_cli.tables import Json, Yes

app = typer.Typer(help="List and rotate the keys that sign access tokens, or the audit logs.", no_args_is_help=True)
COLUMNS = {"key": "id", "state": "state", "signs from": "signs_from", "verifies until": "verifies_until"}
LOG_COLUMNS = {"verifier key": "vkey", "signs from": "from", "signs until": "until"}
PATHS = {False: "/users/keys", True: "/audit/log/keys"}

Logs = Annotated[bool, typer.Option("--logs", help="The keys that sign the audit logs, not those of access tokens.")]


@command(app, platform=True)
def list_(api: Api, logs: Logs = False, as_json: Json = False) -> None:
    """List the keys that sign and verify access tokens, or the audit logs."""
    tables.show(api.ask("GET", PATHS[logs])["keys"], LOG_COLUMNS if logs else COLUMNS, as_json=as_json)


@command(app, platform=True)
def rotate(
    api: Api,
    now: Annotated[
        bool,
        typer.Option("--now", help="At once, and withdraw all other keys: all access tokens stop working."),
    ] = False,
    logs: Logs = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Sign access tokens with another key, one minute from now; or the audit logs, with the old key too for a week."""
    if now:
        tables.confirm("Withdraw all other keys? What they have signed is refused.", "keys rotate --now", yes=yes)
    answer = api.ask("POST", PATHS[logs] + "/rotate" + ("?now=true" if now else ""))
    tables.show(answer["keys"], LOG_COLUMNS if logs else COLUMNS, as_json=as_json)
