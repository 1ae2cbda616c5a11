"""The commands `tenant`: create, list, suspend, resume and delete tenants."""

import sys
from typing import Annotated
from urllib.parse import quote, urlencode

import typer
from rich.console import Console

from quartet_cli import tables, tenants, tokens
from quartet_cli.api_client import Document
from quartet_cli.errors import QuartetError
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack
from quartet_cli.tables import Json

app = typer.Typer(help="Create, list, suspend, resume and delete tenants.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="TENANT", help="1 to 63 lower-case letters, digits and inner hyphens.")]
Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]
COLUMNS = {"tenant": "id", "name": "display_name", "status": "status", "created": "created_at"}
SECRETS = {"client_id": "client id", "client_secret": "client secret", "scim_token": "SCIM token"}
"""The secrets of a new tenant, which are shown once, with their labels."""


@app.command()
def create(
    tenant: Id,
    name: Annotated[str | None, typer.Option(help="A display name.")] = None,
    administrator: Annotated[str | None, typer.Option(help="The userName of the first user, an administrator.")] = None,
    email: Annotated[str | None, typer.Option(help="The administrator's e-mail address.")] = None,
    url: Url = None,
) -> None:
    """Create a tenant and print its secrets. They are not shown again."""
    if email and not administrator:
        raise QuartetError("--email needs --administrator")
    body: Document = {"id": tenant, "display_name": name}
    if administrator:
        body["administrator"] = {"user_name": administrator, "email": email}
    made = _ask(url, "POST", "", body)
    person = made.get("administrator") or {}
    lines = {"tenant": made["id"], **{label: made.get(key) for key, label in SECRETS.items()}}
    lines |= {"administrator": person.get("user_name"), "password": person.get("password")}
    for label, text in lines.items():
        if text:
            print(f"{label:14} {text}")
    if any(made.get(key) for key in SECRETS) or person.get("password"):
        Console(stderr=True, style="dim").print("The secrets are not shown again.")


@app.command(name="list")
def list_(
    status: Annotated[str | None, typer.Option(help="Only this status: active, suspended or deleted.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List all tenants."""
    found: list[Document] = []
    cursor: str | None = ""
    while cursor is not None:
        page = _ask(url, "GET", f"?{urlencode({'count': 1000, 'cursor': cursor, 'status': status or ''})}")
        found += page["tenants"]
        cursor = page["next"]
    tables.show(found, COLUMNS, as_json=as_json)


@app.command()
def suspend(tenant: Id, url: Url = None) -> None:
    """Refuse all tokens of a tenant until it is resumed."""
    _ask(url, "POST", f"/{quote(tenant, safe='')}/suspend")
    print(f"Tenant {tenant} is suspended.")


@app.command()
def resume(tenant: Id, url: Url = None) -> None:
    """Accept the tokens of a suspended tenant again."""
    _ask(url, "POST", f"/{quote(tenant, safe='')}/resume")
    print(f"Tenant {tenant} is active.")


@app.command()
def delete(
    tenant: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
) -> None:
    """Delete a tenant and all its data. This cannot be undone, and the id cannot be used again."""
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete {tenant} and all its data?")):
        raise QuartetError(
            "Nothing was deleted." + ("" if sys.stdin.isatty() else " Without a terminal, use: tenant delete --yes")
        )
    _ask(url, "DELETE", f"/{quote(tenant, safe='')}")
    print(f"Tenant {tenant} is deleted; its data is being removed.")


def _ask(url: str | None, method: str, path: str, body: Document | None = None) -> Document:
    stack = Stack(home_path())
    return tenants.ask(url or stack.url, tokens.own_secret(stack.home), method, f"/users/tenants{path}", body)
