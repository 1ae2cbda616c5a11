"""The commands of tenants: `./quartet tenant create acme` and what may become of it."""

import sys
from typing import Annotated
from urllib.parse import quote, urlencode

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quartet_cli import tenants, tokens
from quartet_cli.answers import Document
from quartet_cli.errors import QuartetError
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack

app = typer.Typer(help="Make, list, suspend, resume and delete tenants.", no_args_is_help=True)
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)

Id = Annotated[str, typer.Argument(metavar="TENANT", help="1 to 63 lower-case letters, digits and inner hyphens.")]
Url = Annotated[str | None, typer.Option(help="Another stack's URL (its admin secret stands in this home).")]
SECRETS = {"client_id": "client id", "client_secret": "client secret", "scim_token": "SCIM token"}
"""What a new tenant has that is shown once, and how people call it."""


@app.command()
def create(
    tenant: Id,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    administrator: Annotated[str | None, typer.Option(help="The userName of its first person.")] = None,
    email: Annotated[str | None, typer.Option(help="That person's e-mail address.")] = None,
    url: Url = None,
) -> None:
    """Make a tenant and print its secrets, once."""
    if email and not administrator:
        raise QuartetError("--email is the administrator's: name that one too")
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
    status: Annotated[str | None, typer.Option(help="Only those that are active, suspended or deleted.")] = None,
    url: Url = None,
) -> None:
    """Show all tenants."""
    table = Table("tenant", "name", "status", "created", box=None, pad_edge=False)
    cursor: str | None = ""
    while cursor is not None:
        page = _ask(url, "GET", f"?{urlencode({'count': 1000, 'cursor': cursor, 'status': status or ''})}")
        for one in page["tenants"]:
            table.add_row(
                one["id"], escape(one["display_name"]), one["status"], one["created_at"][:19].replace("T", " ")
            )
        cursor = page["next"]
    out.print(table)


@app.command()
def suspend(tenant: Id, url: Url = None) -> None:
    """Have all tokens of a tenant refused until it is resumed."""
    _ask(url, "POST", f"/{quote(tenant, safe='')}/suspend")
    print(f"{tenant} is suspended.")


@app.command()
def resume(tenant: Id, url: Url = None) -> None:
    """Give a suspended tenant its access back."""
    _ask(url, "POST", f"/{quote(tenant, safe='')}/resume")
    print(f"{tenant} is active.")


@app.command()
def delete(
    tenant: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
) -> None:
    """Delete a tenant and everything in it, for good."""
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete {tenant} and all that it has, for good?")):
        raise QuartetError(
            "nothing was deleted" + ("" if sys.stdin.isatty() else "; without a terminal say: tenant delete --yes")
        )
    _ask(url, "DELETE", f"/{quote(tenant, safe='')}")
    print(f"{tenant} is deleted; its data is being removed.")


def _ask(url: str | None, method: str, path: str, body: Document | None = None) -> Document:
    stack = Stack(home_path())
    return tenants.ask(url or stack.url, tokens.own_secret(stack.home), method, f"/users/tenants{path}", body)
