"""The commands `scim-token`: create, list and revoke bearer tokens for identity providers."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from quartet_cli import tables, tokens
from quartet_cli.administration import ask, list_all
from quartet_cli.tables import Json

PATH = "/users/scim-tokens"
COLUMNS = {
    "id": "id", "name": "name", "token": "hint", "created": "created_at", "expires": "expires_at",
    "last used": "last_used_at", "revoked": "revoked_at", "scopes": "scopes",
}  # fmt: skip

app = typer.Typer(help="Create, list and revoke bearer tokens for identity providers.", no_args_is_help=True)
Tenant = Annotated[str, typer.Option(help="The tenant that the tokens belong to.")]
Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A display name, such as okta.")],
    tenant: Tenant = "default",
    scope: Annotated[
        str | None, typer.Option(help="Scopes, separated by spaces; default: all of users and groups.")
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days until expiry; default: none."),
    ] = None,
    url: Url = None,
) -> None:
    """Create a token and print only the token. It is not shown again."""
    body: dict[str, Any] = {"name": name}
    if scope is not None:
        body["scopes"] = scope.split()
    if days is not None:
        body["expires_in_days"] = days
    print(ask("POST", PATH, tenant, url, 201, json=body)["token"])


@app.command(name="list")
def list_(tenant: Tenant = "default", url: Url = None, as_json: Json = False) -> None:
    """List the tenant's tokens: the first characters, scopes, expiry and last use of each."""
    tables.show(list_all(PATH, "scim_tokens", tenant, url), COLUMNS, as_json=as_json)


@app.command()
def revoke(token_id: Annotated[str, typer.Argument()], tenant: Tenant = "default", url: Url = None) -> None:
    """Revoke a token; it stops working."""
    ask("DELETE", f"{PATH}/{quote(token_id, safe='')}", tenant, url, 204)
    print(f"SCIM token {token_id} is revoked.")
