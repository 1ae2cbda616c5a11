"""The commands `tenant`: create, list, suspend, resume and delete tenants."""

from typing import Annotated, Final
from urllib.parse import quote

import typer
from rich.console import Console

from quartet_cli import tables, tokens
from quartet_cli.api import Api, command
from quartet_cli.api_client import Document, error_of
from quartet_cli.errors import QuartetError
from quartet_cli.tables import Json, Yes

PATH: Final = "/users/tenants"
app = typer.Typer(help="Create, list, suspend, resume and delete tenants.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="TENANT", help="1 to 63 lower-case letters, digits and inner hyphens.")]
COLUMNS = {"tenant": "id", "name": "display_name", "status": "status", "created": "created_at"}
SECRETS = {"client_id": "client id", "client_secret": "client secret", "scim_token": "SCIM token"}
"""The secrets of a new tenant, which are shown once, with their labels."""


@command(app, platform=True)
def create(
    api: Api,
    tenant: Id,
    name: Annotated[str | None, typer.Option(help="A display name.")] = None,
    administrator: Annotated[str | None, typer.Option(help="The userName of the first user, an administrator.")] = None,
    email: Annotated[str | None, typer.Option(help="The administrator's e-mail address.")] = None,
    as_json: Json = False,
) -> None:
    """Create a tenant and print its secrets. They are not shown again."""
    if email and not administrator:
        raise QuartetError("--email needs --administrator")
    body: Document = {"id": tenant, "display_name": name}
    if administrator:
        body["administrator"] = {"user_name": administrator, "email": email}
    made = _create(api, body)
    if as_json:
        tables.show_one(made, as_json=True)
        return
    person = made.get("administrator") or {}
    lines = {"tenant": made["id"], **{label: made.get(key) for key, label in SECRETS.items()}}
    lines |= {"administrator": person.get("user_name"), "password": person.get("password")}
    for label, text in lines.items():
        if text:
            print(f"{label:14} {text}")
    if any(made.get(key) for key in SECRETS) or person.get("password"):
        Console(stderr=True, style="dim").print("The secrets are not shown again.")


@command(app, platform=True)
def list_(
    api: Api,
    status: Annotated[str | None, typer.Option(help="Only this status: active, suspended or deleted.")] = None,
    as_json: Json = False,
) -> None:
    """List all tenants."""
    found = api.list_all(PATH, "tenants", status=status)
    tables.show(found, COLUMNS, as_json=as_json)


@command(app, platform=True)
def suspend(api: Api, tenant: Id) -> None:
    """Refuse all tokens of a tenant until it is resumed."""
    api.ask("POST", f"{_path(tenant)}/suspend")
    print(f"Tenant {tenant} is suspended.")


@command(app, platform=True)
def resume(api: Api, tenant: Id) -> None:
    """Accept the tokens of a suspended tenant again."""
    api.ask("POST", f"{_path(tenant)}/resume")
    print(f"Tenant {tenant} is active.")


@command(app, platform=True)
def delete(api: Api, tenant: Id, yes: Yes = False) -> None:
    """Delete a tenant and all its data. This cannot be undone, and the id cannot be used again."""
    tables.confirm(f"Delete {tenant} and all its data?", "tenants delete", yes=yes)
    api.ask("DELETE", _path(tenant))
    print(f"Tenant {tenant} is deleted; its data is being removed.")


def _create(api: Api, body: Document) -> Document:
    """The new tenant. Raises DeletedTenantError for the id of a deleted tenant, QuartetError for other errors."""
    status, answer = api.send("POST", PATH, json=body)
    if status == 409 and answer.get("code") == "tenant_taken":
        taken = str(body["id"])
        if api.ask("GET", _path(taken))["status"] == "deleted":
            raise tokens.DeletedTenantError(taken)
    if status != 201:
        raise error_of(status, answer)
    return answer


def _path(tenant: str) -> str:
    return f"{PATH}/{quote(tenant, safe='')}"
