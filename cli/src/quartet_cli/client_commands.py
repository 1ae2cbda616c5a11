"""The commands `client`: API clients of a tenant, made, listed, rotated and deleted by an administrator."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quartet_cli.administration import ask
from quartet_cli.errors import QuartetError

PATH = "/users/clients"
PAGE = 1000

app = typer.Typer(help="API clients: machines with credentials and scopes of their own.", no_args_is_help=True)
Tenant = Annotated[str, typer.Option(help="The tenant whose directory is meant.")]
Url = Annotated[str | None, typer.Option(help="Another stack's URL (its admin secret stands in this home).")]
Id = Annotated[str, typer.Argument(metavar="CLIENT_ID")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people shall call it, such as payroll.")],
    scope: Annotated[list[str], typer.Option(help="A scope, or some with spaces between them; may be repeated.")],
    tenant: Tenant = "default",
    keys: Annotated[
        Path | None, typer.Option(help="A file with its public keys (a JWK Set): it has those instead of a secret.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="So long it is valid; else until deleted.")] = None,
    url: Url = None,
) -> None:
    """Make a client and print its id and secret, which is never shown again."""
    body: dict[str, Any] = {"name": name, "scopes": " ".join(scope).split()}
    if keys is not None:
        body |= {"authentication": "private_key_jwt", "jwks": _read(keys)}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    _show(ask("POST", PATH, tenant, url, 201, json=body))


@app.command(name="list")
def list_(tenant: Tenant = "default", url: Url = None) -> None:
    """Show the tenant's clients: what each may do, when it ends and when it was used last."""
    table = Table("client id", "name", "scopes", "created", "ends", "last used", box=None, pad_edge=False)
    cursor: str | None = ""
    while cursor is not None:
        page = ask("GET", PATH, tenant, url, 200, params={"count": PAGE, "cursor": cursor})
        for one in page["clients"]:
            times = [(one[name] or "-")[:16] for name in ("created_at", "expires_at", "last_used_at")]
            table.add_row(one["client_id"], escape(one["name"]), " ".join(one["scopes"]), *times)
        cursor = page["next"]
    Console(soft_wrap=True, width=None if sys.stdout.isatty() else 250).print(table, highlight=False)


@app.command()
def rotate(
    client_id: Id,
    tenant: Tenant = "default",
    overlap: Annotated[int, typer.Option(min=0, help="Seconds for which the old secrets still count.")] = 86400,
    url: Url = None,
) -> None:
    """Make another secret and print it; the old ones count until the overlap is over."""
    body = {"overlap_seconds": overlap}
    made = ask("POST", f"{_path(client_id)}/secrets", tenant, url, 201, json=body)
    _show({"client_id": client_id, "client_secret": made["client_secret"]})
    Console(stderr=True, style="dim").print(f"The old secrets end at {made['others_end_at']}.", highlight=False)


@app.command()
def delete(client_id: Id, tenant: Tenant = "default", url: Url = None) -> None:
    """End a client; its secrets and tokens are refused from now on."""
    ask("DELETE", _path(client_id), tenant, url, 204)
    print(f"{client_id} is deleted.")


def _path(client_id: str) -> str:
    return f"{PATH}/{quote(client_id, safe='')}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise QuartetError(f"{path} holds no JWK Set: {error}") from error


def _show(made: dict[str, Any]) -> None:
    for name in ("client_id", "client_secret"):
        if made[name]:
            print(f"{name.replace('_', ' '):14} {made[name]}")
