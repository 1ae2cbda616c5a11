"""The commands `client`: create, list, rotate and delete the API clients of a tenant."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from quartet_cli import tables, tokens
from quartet_cli.administration import ask, list_all
from quartet_cli.errors import QuartetError
from quartet_cli.tables import Json

PATH = "/users/clients"
COLUMNS = {
    "client id": "client_id", "name": "name", "created": "created_at", "expires": "expires_at",
    "last used": "last_used_at", "scopes": "scopes",
}  # fmt: skip

app = typer.Typer(help="Create, list, rotate and delete API clients.", no_args_is_help=True)
Tenant = Annotated[str, typer.Option(help="The tenant that the clients belong to.")]
Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]
Id = Annotated[str, typer.Argument(metavar="CLIENT_ID")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A display name, such as payroll.")],
    scope: Annotated[list[str], typer.Option(help="Scopes, separated by spaces; may be repeated.")],
    tenant: Tenant = "default",
    keys: Annotated[
        Path | None,
        typer.Option(help="A file with public keys (JWK Set) to use instead of a secret."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days until expiry; default: none."),
    ] = None,
    url: Url = None,
) -> None:
    """Create a client and print its id and secret. The secret is not shown again."""
    body: dict[str, Any] = {"name": name, "scopes": " ".join(scope).split()}
    if keys is not None:
        body |= {"authentication": "private_key_jwt", "jwks": _read(keys)}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    _show(ask("POST", PATH, tenant, url, 201, json=body))


@app.command(name="list")
def list_(tenant: Tenant = "default", url: Url = None, as_json: Json = False) -> None:
    """List the tenant's clients: scopes, expiry and last use of each."""
    tables.show(list_all(PATH, "clients", tenant, url), COLUMNS, as_json=as_json)


@app.command()
def rotate(
    client_id: Id,
    tenant: Tenant = "default",
    overlap: Annotated[int, typer.Option(min=0, help="Seconds until the old secrets expire.")] = 86400,
    url: Url = None,
) -> None:
    """Create another secret and print it. The old ones stay valid until the overlap ends."""
    body = {"overlap_seconds": overlap}
    made = ask("POST", f"{_path(client_id)}/secrets", tenant, url, 201, json=body)
    _show({"client_id": client_id, "client_secret": made["client_secret"]})
    Console(stderr=True, style="dim").print(f"The old secrets expire at {made['others_end_at']}.", highlight=False)


@app.command()
def delete(client_id: Id, tenant: Tenant = "default", url: Url = None) -> None:
    """Delete a client; its secrets and tokens stop working."""
    ask("DELETE", _path(client_id), tenant, url, 204)
    print(f"Client {client_id} is deleted.")


def _path(client_id: str) -> str:
    return f"{PATH}/{quote(client_id, safe='')}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise QuartetError(f"{path} is not a JWK Set: {error}") from error


def _show(made: dict[str, Any]) -> None:
    for name in ("client_id", "client_secret"):
        if made[name]:
            print(f"{name.replace('_', ' '):14} {made[name]}")
