"""The rules for imported users: what a record of a file changes; no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from quartet_directory_formats import LineError, Record
from quartet_scim.errors import ScimError, invalid_value
from quartet_scim.normalise import Normalised, Normaliser
from quartet_scim.resource import Attributes, require_size
from quartet_scim.usernames import prepare

Match = Literal["userName", "externalId"]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PLAIN_PASSWORD = "password: An import takes hashes of passwords (passwordHash), not passwords. Remove it."  # noqa: S105  # nosec B105  # a text about passwords
NO_EXTERNAL_ID = "externalId is missing. It finds the user, since the import has match=externalId."
SEVERAL = "Several users have this externalId. Give each another one, or use match=userName."


@dataclass(frozen=True, slots=True)
class Incoming:
    """A user of the file in its stored form; `key` finds the user that it is."""

    line: int
    sent: Normalised
    key: str
    password_hash: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that is not imported."""

    line: int
    reason: str
    value: str = ""


Item = Incoming | Refused | None
"""A record of the file; None for one that is of no user, such as a group."""


def read_item(normaliser: Normaliser, found: Record | LineError, match: Match, max_bytes: int) -> Item:
    """A record as it would be stored, or why it is refused. `max_bytes`: of one stored user."""
    if isinstance(found, LineError):
        return Refused(found.line, found.reason, found.value)
    if found.kind != "user":
        return None
    resource = {"schemas": [USER], **found.resource}
    try:
        sent = normaliser.normalise(resource)
        require_size(sent.attributes, max_bytes)
        key = _key(sent, match)
    except ScimError as error:
        return Refused(found.line, error.detail, value_of(resource, error.detail))
    return Incoming(found.line, sent, key, found.password_hash, found.notes)


def _key(sent: Normalised, match: Match) -> str:
    """What finds the user. Raises ScimError 400 without it, and for a password that is not hashed."""
    if sent.secrets:
        raise invalid_value(PLAIN_PASSWORD)
    if match == "userName":
        return prepare(sent.attributes["userName"])
    external_id = sent.attributes.get("externalId")
    if not isinstance(external_id, str):
        raise invalid_value(NO_EXTERNAL_ID)
    return external_id


def value_of(resource: Mapping[str, Any], detail: str) -> str:
    """The value that the detail of an error is about, which begins with the path of an attribute; never a secret."""
    name = detail.partition(" ")[0].partition("[")[0].partition(".")[0].removesuffix(":")
    if name not in resource or name == "password":
        return ""
    value = resource[name]
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def distinct_runs(incoming: Sequence[Incoming]) -> Iterator[list[Incoming]]:
    """Consecutive users in runs in which no key occurs twice: a later record of a user changes what an earlier one has
    made.
    """
    run: dict[str, Incoming] = {}
    for one in incoming:
        if one.key in run:
            yield list(run.values())
            run = {}
        run[one.key] = one
    if run:
        yield list(run.values())


def merge(before: Attributes, sent: Attributes) -> Attributes:
    """A user with the attributes of a record: those that the file does not have stay, also of extensions."""
    merged = {**before, **sent}
    for name, value in sent.items():
        known = before.get(name)
        if name.startswith("urn:") and isinstance(value, dict) and isinstance(known, dict):
            merged[name] = {**known, **value}
    return {**merged, "schemas": list(dict.fromkeys((*before["schemas"], *sent["schemas"])))}
