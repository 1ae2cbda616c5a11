"""The commands `origins`: list, add and remove the origins whose pages may call the tenant's API (CORS)."""

from typing import Annotated, Final
from urllib.parse import quote

import typer

from quartet_cli import tables
from quartet_cli.api import Api, command
from quartet_cli.directory import is_id
from quartet_cli.errors import QuartetError
from quartet_cli.tables import Json

app = typer.Typer(help="List, add and remove origins of browser applications (CORS).", no_args_is_help=True)
PATH: Final = "/users/origins"
COLUMNS: Final = {"id": "id", "origin": "origin", "created": "created_at"}


@command(app)
def list_(api: Api, as_json: Json = False) -> None:
    """List the tenant's origins."""
    tables.show(api.list_all(PATH, "origins"), COLUMNS, as_json=as_json)


@command(app)
def add(
    api: Api,
    origin: Annotated[str, typer.Argument(help="Such as https://app.example.com, or https://*.example.com.")],
    as_json: Json = False,
) -> None:
    """Allow pages of an origin, and print its id. It applies in all services within 5 seconds."""
    tables.show_id(api.ask("POST", PATH, json={"origin": origin}), as_json=as_json)


@command(app)
def remove(api: Api, origin: Annotated[str, typer.Argument(help="The origin, or its id.")]) -> None:
    """Remove an origin."""
    found = origin
    if not is_id(origin):
        ids = [one["id"] for one in api.list_all(PATH, "origins") if one["origin"] == origin.rstrip("/").lower()]
        if not ids:
            raise QuartetError(f"{origin} is not an origin of the tenant. To see them: origins list")
        found = ids[0]
    api.ask("DELETE", f"{PATH}/{quote(found, safe='')}")
    print(f"Origin {origin} is removed.")
