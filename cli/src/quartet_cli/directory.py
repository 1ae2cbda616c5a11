"""Users and groups over SCIM: pages of them, and those that a person names."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

import typer

from quartet_cli.api import Api
from quartet_cli.api_client import Document
from quartet_cli.errors import QuartetError

USERS: Final = "/scim/v2/Users"
GROUPS: Final = "/scim/v2/Groups"
NAMES: Final = {USERS: "userName", GROUPS: "displayName"}
"""The attribute by which people name a resource."""
USER: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP: Final = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
PAGE: Final = 200
STDIN: Final = Path("-")

Filter = Annotated[str | None, typer.Option("--filter", help='A SCIM filter, such as: displayName sw "B"')]
Limit = Annotated[int, typer.Option(min=0, help="The largest number of them; 0: all.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="A file with JSON (SCIM); - is standard input.")]


def resources(api: Api, path: str, *, scim_filter: str | None = None, limit: int = 0, **others: str) -> list[Document]:
    """Users or groups in the order of the service, `limit` at most unless it is 0."""
    found: list[Document] = []
    cursor: str | None = ""
    given = others | ({"filter": scim_filter} if scim_filter else {})
    while cursor is not None and (not limit or len(found) < limit):
        size = min(limit - len(found), PAGE) if limit else PAGE
        page = api.ask("GET", path, params={**given, "cursor": cursor, "count": size})
        found += page.get("Resources", [])
        cursor = page.get("nextCursor")
    return found


def id_of(api: Api, path: str, name: str) -> str:
    """The id of the user or group with that id, userName or displayName. Raises QuartetError unless there is one."""
    if is_id(name):
        return name
    attribute, kind = NAMES[path], "user" if path == USERS else "group"
    wanted = f"{attribute} eq {json.dumps(name, ensure_ascii=False)}"
    found = resources(api, path, scim_filter=wanted, limit=3, attributes="id")
    if not found:
        raise QuartetError(f"There is no {kind} with the id or {attribute} {name!r}. To see them: {kind}s list")
    if len(found) > 1:
        ids = ", ".join(one["id"] for one in found)
        raise QuartetError(f"Several {kind}s have the {attribute} {name!r}. Use an id: {ids}")
    return str(found[0]["id"])


def path_of(api: Api, path: str, name: str) -> str:
    """The path of that user or group."""
    return f"{path}/{quote(id_of(api, path, name), safe='')}"


def is_id(text: str) -> bool:
    """Whether `text` is a UUID."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def patch(api: Api, path: str, operations: Sequence[Document]) -> Document:
    """The response to a PATCH."""
    return api.ask("PATCH", path, json={"schemas": [PATCH], "Operations": operations})


def replacements(attributes: dict[str, Any]) -> list[Document]:
    """The operations that set attributes, by their paths. Raises QuartetError if there are none."""
    if not attributes:
        raise QuartetError("Nothing to change was named. See the options: --help")
    return [{"op": "replace", "path": path, "value": value} for path, value in attributes.items()]


def read_document(path: Path) -> Document:
    """The JSON object in a file, or from standard input. Raises QuartetError."""
    try:
        found = json.loads(read_bytes(path))
    except (OSError, ValueError) as error:
        raise QuartetError(f"{_shown(path)} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise QuartetError(f"{_shown(path)} must have a JSON object, got {type(found).__name__}")
    return found


def read_bytes(path: Path) -> bytes:
    """The content of a file, or of standard input. Raises OSError."""
    return sys.stdin.buffer.read() if path == STDIN else path.read_bytes()


def read_names(names: Sequence[str]) -> Iterator[str]:
    """The names, where `-` stands for the lines of standard input."""
    for name in names:
        if name == str(STDIN):
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield name


def _shown(path: Path) -> str:
    return "Standard input" if path == STDIN else str(path)
