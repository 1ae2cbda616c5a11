"""The commands `client`: create, list, rotate and delete the API clients of a tenant."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from quartet_cli import directory, tables
from quartet_cli.api import Api, command
from quartet_cli.errors import QuartetError
from quartet_cli.tables import Json, Yes

PATH = "/users/clients"
COLUMNS = {
    "client id": "client_id", "name": "name", "created": "created_at", "expires": "expires_at",
    "last used": "last_used_at", "scopes": "scopes",
}  # fmt: skip

app = typer.Typer(help="Create, list, rotate and delete API clients.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="CLIENT_ID")]


@command(app)
def create(
    api: Api,
    name: Annotated[str, typer.Argument(help="A display name, such as payroll.")],
    scope: Annotated[list[str], typer.Option(help="Scopes, separated by spaces; may be repeated.")],
    keys: Annotated[
        Path | None,
        typer.Option(help="A file with public keys (JWK Set) to use instead of a secret; - is standard input."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days until expiry; default: none."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a client and print its id and secret. The secret is not shown again."""
    body: dict[str, Any] = {"name": name, "scopes": " ".join(scope).split()}
    if keys is not None:
        body |= {"authentication": "private_key_jwt", "jwks": _read(keys)}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    _show(api.ask("POST", PATH, json=body), as_json=as_json)


@command(app)
def list_(api: Api, as_json: Json = False) -> None:
    """List the tenant's clients: scopes, expiry and last use of each."""
    tables.show(api.list_all(PATH, "clients"), COLUMNS, as_json=as_json)


@command(app)
def rotate(
    api: Api,
    client_id: Id,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds until the old secrets expire.")] = 86400,
    as_json: Json = False,
) -> None:
    """Create another secret and print it. The old ones stay valid until the overlap ends."""
    body = {"overlap_seconds": overlap}
    made = api.ask("POST", f"{_path(client_id)}/secrets", json=body)
    _show({"client_id": client_id, **made}, as_json=as_json)
    Console(stderr=True, style="dim").print(f"The old secrets expire at {made['others_end_at']}.", highlight=False)


@command(app)
def delete(api: Api, client_id: Id, yes: Yes = False) -> None:
    """Delete a client; its secrets and tokens stop working."""
    tables.confirm(f"Delete client {client_id}, and end its tokens?", "clients delete", yes=yes)
    api.ask("DELETE", _path(client_id))
    print(f"Client {client_id} is deleted.")


def _path(client_id: str) -> str:
    return f"{PATH}/{quote(client_id, safe='')}"


def _read(path: Path) -> Any:
    try:
        return json.loads(directory.read_bytes(path))
    except (OSError, ValueError) as error:
        raise QuartetError(f"{path} is not a JWK Set: {error}") from error


def _show(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        tables.show_one(made, as_json=True)
        return
    for name in ("client_id", "client_secret"):
        if made[name]:
            print(f"{name.replace('_', ' '):14} {made[name]}")
