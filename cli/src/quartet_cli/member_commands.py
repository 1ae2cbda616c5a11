"""The commands `members`, of a group, and `check`, which asks whether a user is in a group."""

import json
from itertools import islice
from typing import Annotated, Final
from urllib.parse import quote

import typer

from quartet_cli import directory, tables
from quartet_cli.api import Api, command
from quartet_cli.directory import GROUPS, USERS, Limit, id_of, path_of
from quartet_cli.tables import Json

app = typer.Typer(help="List, add and remove members of a group.", no_args_is_help=True)
COLUMNS: Final = {"id": "value", "type": "type", "name": "display"}
BATCH: Final = 500
"""Members in one request."""
NOT_A_MEMBER: Final = 6
"""The exit code of `check` for a user who is not in the group."""

Group = Annotated[str, typer.Argument(metavar="GROUP", help="The id or displayName of the group.")]
Members = Annotated[
    list[str],
    typer.Argument(metavar="MEMBER...", help="Ids of users or groups, or userNames; - reads them as lines of input."),
]


@command(app)
def list_(api: Api, group: Group, limit: Limit = 100, as_json: Json = False) -> None:
    """List the direct members of a group, users and groups."""
    path = f"/groups/{quote(id_of(api, GROUPS, group), safe='')}/members"
    found = api.list_all(path, "members", limit)
    tables.show(found, COLUMNS, as_json=as_json)
    tables.note_limit(len(found), limit)


@command(app)
def add(api: Api, group: Group, members: Members, as_json: Json = False) -> None:
    """Add users or groups to a group. Those that are members already stay."""
    number = _change(api, group, members, "add")
    print(json.dumps({"added": number}) if as_json else f"Added to {group}: {number}")


@command(app)
def remove(api: Api, group: Group, members: Members, as_json: Json = False) -> None:
    """Remove users or groups from a group."""
    number = _change(api, group, members, "remove")
    print(json.dumps({"removed": number}) if as_json else f"Removed from {group}: {number}")


def check(
    api: Api,
    user: Annotated[str, typer.Argument(metavar="USER", help="The id or userName.")],
    group: Annotated[str, typer.Argument(metavar="GROUP", help="The id or displayName.")],
    as_json: Json = False,
) -> None:
    """Ask whether a user is in a group, directly or through other groups. Exit code 0: yes; 6: no."""
    asked = {"user": id_of(api, USERS, user), "group": id_of(api, GROUPS, group)}
    found = api.ask("GET", "/groups/check", params=asked)
    if as_json:
        print(json.dumps(found, indent=1))
    elif found["member"]:
        print(f"yes, {'directly' if found['direct'] else 'through'}: " + " > ".join(map(_label, found["path"])))
    else:
        print("no")
    if not found["member"]:
        raise typer.Exit(NOT_A_MEMBER)


def _label(group: dict[str, str]) -> str:
    return group.get("display") or group["value"]


def _change(api: Api, group: str, members: list[str], op: str) -> int:
    """Add or remove members, some hundred in each request; returns their number. All are looked up first."""
    path = path_of(api, GROUPS, group)
    ids = iter(list(dict.fromkeys(id_of(api, USERS, name) for name in directory.read_names(members))))
    done = 0
    while batch := list(islice(ids, BATCH)):
        values = [{"value": one} for one in batch]
        directory.patch(api, path, [{"op": op, "path": "members", "value": values}])
        done += len(batch)
    return done
