"""The commands `scim-token`: bearer tokens for identity providers, made, listed and revoked by an administrator."""

import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quartet_cli.administration import ask

PATH = "/users/scim-tokens"
PAGE = 1000

app = typer.Typer(help="Bearer tokens for identity providers such as Okta and Entra ID.", no_args_is_help=True)
Tenant = Annotated[str, typer.Option(help="The tenant whose directory is meant.")]
Url = Annotated[str | None, typer.Option(help="Another stack's URL (its admin secret stands in this home).")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people shall call it, such as okta.")],
    tenant: Tenant = "default",
    scope: Annotated[
        str | None, typer.Option(help="Scopes, separated by spaces; all of users and groups where none are named.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="So long it is valid; else until revoked.")] = None,
    url: Url = None,
) -> None:
    """Make a token and print it, and nothing else: it is never shown again."""
    body: dict[str, Any] = {"name": name}
    if scope is not None:
        body["scopes"] = scope.split()
    if days is not None:
        body["expires_in_days"] = days
    print(ask("POST", PATH, tenant, url, 201, json=body)["token"])


@app.command(name="list")
def list_(tenant: Tenant = "default", url: Url = None) -> None:
    """Show the tenant's tokens: how each begins and ends, what it may do, when it was used last."""
    table = Table("id", "name", "token", "scopes", "created", "ends", "last used", "state", box=None, pad_edge=False)
    cursor = ""
    while True:
        page = ask("GET", PATH, tenant, url, 200, params={"count": PAGE, "cursor": cursor})
        for one in page["scim_tokens"]:
            state = "revoked" if one["revoked_at"] else ""
            times = [(one[name] or "-")[:16] for name in ("created_at", "expires_at", "last_used_at")]
            table.add_row(one["id"], escape(one["name"]), one["hint"], " ".join(one["scopes"]), *times, state)
        cursor = page["next"]
        if cursor is None:
            break
    Console(soft_wrap=True, width=None if sys.stdout.isatty() else 250).print(table, highlight=False)


@app.command()
def revoke(token_id: Annotated[str, typer.Argument()], tenant: Tenant = "default", url: Url = None) -> None:
    """End a token; it is refused from now on."""
    ask("DELETE", f"{PATH}/{quote(token_id, safe='')}", tenant, url, 204)
    print(f"{token_id} is revoked.")
