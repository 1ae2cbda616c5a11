"""The commands `scim-token`: create, list and revoke bearer tokens for identity providers."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from quartet_cli import tables
from quartet_cli.api import Api, command
from quartet_cli.tables import Json, Yes

PATH = "/users/scim-tokens"
COLUMNS = {
    "id": "id", "name": "name", "token": "hint", "created": "created_at", "expires": "expires_at",
    "last used": "last_used_at", "revoked": "revoked_at", "scopes": "scopes",
}  # fmt: skip

app = typer.Typer(help="Create, list and revoke bearer tokens for identity providers.", no_args_is_help=True)


@command(app)
def create(
    api: Api,
    name: Annotated[str, typer.Argument(help="A display name, such as okta.")],
    scope: Annotated[
        str | None, typer.Option(help="Scopes, separated by spaces; default: all of users and groups.")
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days until expiry; default: none."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a token and print only the token. It is not shown again."""
    body: dict[str, Any] = {"name": name}
    if scope is not None:
        body["scopes"] = scope.split()
    if days is not None:
        body["expires_in_days"] = days
    made = api.ask("POST", PATH, json=body)
    print(json.dumps(made, indent=1) if as_json else made["token"])


@command(app)
def list_(api: Api, as_json: Json = False) -> None:
    """List the tenant's tokens: the first characters, scopes, expiry and last use of each."""
    tables.show(api.list_all(PATH, "scim_tokens"), COLUMNS, as_json=as_json)


@command(app)
def revoke(api: Api, token_id: Annotated[str, typer.Argument()], yes: Yes = False) -> None:
    """Revoke a token; it stops working."""
    tables.confirm(f"Revoke SCIM token {token_id}?", "scim-tokens revoke", yes=yes)
    api.ask("DELETE", f"{PATH}/{quote(token_id, safe='')}")
    print(f"SCIM token {token_id} is revoked.")
