"""The commands `groups`: list, show, create, change and delete groups."""

from typing import Annotated, Final

import typer

from quartet_cli import directory, tables
from quartet_cli.api import Api, command
from quartet_cli.directory import GROUP, GROUPS, File, Filter, Limit, path_of
from quartet_cli.tables import Json, Yes

app = typer.Typer(help="List, show, create, change and delete groups.", no_args_is_help=True)
COLUMNS: Final = {"id": "id", "name": "displayName", "external id": "externalId"}
WITHOUT_MEMBERS: Final = {"excludedAttributes": "members"}

Name = Annotated[str, typer.Argument(metavar="GROUP", help="The id or displayName.")]
ExternalId = Annotated[str | None, typer.Option(help="The externalId, of an identity provider.")]


@command(app)
def list_(api: Api, scim_filter: Filter = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List groups, without their members."""
    found = directory.resources(api, GROUPS, scim_filter=scim_filter, limit=limit, **WITHOUT_MEMBERS)
    tables.show(found, COLUMNS, as_json=as_json)
    tables.note_limit(len(found), limit)


@command(app)
def get(api: Api, group: Name, as_json: Json = False) -> None:
    """Show a group without its members, which `members list` shows."""
    tables.show_one(api.ask("GET", path_of(api, GROUPS, group), params=WITHOUT_MEMBERS), as_json=as_json)


@command(app)
def create(
    api: Api,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The displayName.")] = None,
    external_id: ExternalId = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Create a group, from options or from a file, and print the id."""
    if (name is None) == (file is None):
        raise typer.BadParameter("give a displayName, or --file")
    body = directory.read_document(file) if file else {"displayName": name}
    body |= {"externalId": external_id} if external_id else {}
    made = api.ask("POST", GROUPS, json={"schemas": [GROUP], **body})
    tables.show_id(made, as_json=as_json)


@command(app)
def update(
    api: Api,
    group: Name,
    name: Annotated[str | None, typer.Option(help="A new displayName.")] = None,
    external_id: ExternalId = None,
    as_json: Json = False,
) -> None:
    """Change attributes of a group."""
    given = {"displayName": name, "externalId": external_id}
    operations = directory.replacements({path: value for path, value in given.items() if value})
    tables.show_id(directory.patch(api, path_of(api, GROUPS, group), operations), as_json=as_json)


@command(app)
def delete(api: Api, group: Name, yes: Yes = False) -> None:
    """Delete a group. Its members stay. This cannot be undone."""
    path = path_of(api, GROUPS, group)
    tables.confirm(f"Delete group {group}?", "groups delete", yes=yes)
    api.ask("DELETE", path)
    print(f"Group {group} is deleted.")
