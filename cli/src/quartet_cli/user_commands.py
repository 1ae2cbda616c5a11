"""The commands `users`: list, show, create, change, suspend and delete users."""

from typing import Annotated, Any, Final

import typer

from quartet_cli import directory, tables
from quartet_cli.api import Api, command
from quartet_cli.api_client import Document
from quartet_cli.directory import USER, USERS, File, Filter, Limit, path_of
from quartet_cli.logins import ask_password
from quartet_cli.tables import Json, Yes

app = typer.Typer(help="List, show, create, change, suspend and delete users.", no_args_is_help=True)
COLUMNS: Final = {"id": "id", "user name": "userName", "name": "displayName", "e-mail": "email", "active": "active"}

Name = Annotated[str, typer.Argument(metavar="USER", help="The id or userName.")]
DisplayName = Annotated[str | None, typer.Option("--name", help="The displayName.")]
GivenName = Annotated[str | None, typer.Option(help="The given name.")]
FamilyName = Annotated[str | None, typer.Option(help="The family name.")]
Email = Annotated[str | None, typer.Option(help="The work e-mail address, which is the primary one.")]
ExternalId = Annotated[str | None, typer.Option(help="The externalId, of an identity provider.")]
Password = Annotated[
    bool, typer.Option("--password", help="Ask for a password, or read it from the first line of standard input.")
]


@command(app)
def list_(api: Api, scim_filter: Filter = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List users."""
    found = directory.resources(api, USERS, scim_filter=scim_filter, limit=limit)
    if as_json:
        tables.show(found, COLUMNS, as_json=True)
        return
    tables.show([{**one, "email": _email(one)} for one in found], COLUMNS, as_json=False)
    tables.note_limit(len(found), limit)


@command(app)
def get(api: Api, user: Name, as_json: Json = False) -> None:
    """Show a user."""
    tables.show_one(api.ask("GET", path_of(api, USERS, user)), as_json=as_json)


@command(app)
def create(
    api: Api,
    user_name: Annotated[str | None, typer.Argument(metavar="USER_NAME", help="The userName.")] = None,
    name: DisplayName = None,
    given_name: GivenName = None,
    family_name: FamilyName = None,
    email: Email = None,
    external_id: ExternalId = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="The user cannot log in.")] = False,
    password: Password = False,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Create a user, from options or from a file, and print the id."""
    if (user_name is None) == (file is None):
        raise typer.BadParameter("give a userName, or --file")
    if file is not None:
        body = {"schemas": [USER], **directory.read_document(file)}
    else:
        body = {"schemas": [USER], "userName": user_name, "active": not inactive}
        body |= _nested(_attributes(name, given_name, family_name, email, external_id))
    if password:
        body["password"] = ask_password("Password of the user: ")
    tables.show_id(api.ask("POST", USERS, json=body), as_json=as_json)


@command(app)
def update(
    api: Api,
    user: Name,
    user_name: Annotated[str | None, typer.Option(help="A new userName.")] = None,
    name: DisplayName = None,
    given_name: GivenName = None,
    family_name: FamilyName = None,
    email: Email = None,
    external_id: ExternalId = None,
    password: Password = False,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Change attributes of a user; with a file, replace the whole user."""
    attributes = _attributes(name, given_name, family_name, email, external_id)
    attributes |= {"userName": user_name} if user_name else {}
    if file is not None and (attributes or password):
        raise typer.BadParameter("give attributes, or --file")
    if file is not None:
        body = {"schemas": [USER], **directory.read_document(file)}
        tables.show_id(api.ask("PUT", path_of(api, USERS, user), json=body), as_json=as_json)
        return
    if password:
        attributes["password"] = ask_password("Password of the user: ")
    operations = directory.replacements(attributes)
    tables.show_id(directory.patch(api, path_of(api, USERS, user), operations), as_json=as_json)


@command(app)
def suspend(api: Api, user: Name) -> None:
    """Deactivate a user: sessions and tokens end, and logins are refused."""
    directory.patch(api, path_of(api, USERS, user), directory.replacements({"active": False}))
    print(f"User {user} is suspended.")


@command(app)
def resume(api: Api, user: Name) -> None:
    """Activate a suspended user."""
    directory.patch(api, path_of(api, USERS, user), directory.replacements({"active": True}))
    print(f"User {user} is active.")


@command(app)
def delete(api: Api, user: Name, yes: Yes = False) -> None:
    """Delete a user, also from its groups. This cannot be undone."""
    path = path_of(api, USERS, user)
    tables.confirm(f"Delete user {user}?", "users delete", yes=yes)
    api.ask("DELETE", path)
    print(f"User {user} is deleted.")


def _attributes(
    name: str | None, given_name: str | None, family_name: str | None, email: str | None, external_id: str | None
) -> dict[str, Any]:
    """The given attributes by their paths."""
    emails = [{"value": email, "type": "work", "primary": True}] if email else None
    found = {"displayName": name, "name.givenName": given_name, "name.familyName": family_name}
    return {path: value for path, value in {**found, "emails": emails, "externalId": external_id}.items() if value}


def _nested(attributes: dict[str, Any]) -> Document:
    """A document of attributes that are given by their paths."""
    found: Document = {}
    for path, value in attributes.items():
        outer, _, inner = path.rpartition(".")
        (found.setdefault(outer, {}) if outer else found)[inner] = value
    return found


def _email(user: Document) -> str | None:
    emails = user.get("emails") or []
    return next((one.get("value") for one in emails if one.get("primary")), emails[0].get("value") if emails else None)
