"""The rules for imported groups: what a record of a file changes, and which memberships it has; no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from quartet_directory_formats import LineError, MemberReference, Record
from quartet_scim.errors import ScimError
from quartet_scim.normalise import Normaliser
from quartet_scim.resource import Attributes

Match = Literal["externalId", "displayName"]
MAX_EDGES = 10_000
"""Memberships of one transaction, about a second; a record has more if it has more itself."""
MAX_RECORDS = 200
"""Records of one transaction, which holds the tenant's lock for nesting if they nest groups."""


class Key(NamedTuple):
    """What finds the group of a record: an externalId, or a displayName in lower case."""

    by: Match
    value: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A group of the file in its stored form."""

    line: int
    attributes: Attributes
    key: Key
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that is not imported."""

    line: int
    reason: str
    value: str = ""


Item = Incoming | Refused | None
"""A record of the file; None for a user."""


class Edge(NamedTuple):
    """A membership in the file: the group and its member."""

    line: int
    parent: MemberReference
    member: MemberReference


class Batch(NamedTuple):
    """The memberships of consecutive records."""

    records: int
    edges: list[Edge]


def read_item(normaliser: Normaliser, found: Record | LineError, match: Match) -> Item:
    """A record as it would be stored, or why it is refused."""
    if isinstance(found, LineError):
        return Refused(found.line, found.reason, found.value)
    if found.kind != "group":
        return None
    try:
        attributes = normaliser.normalise(found.resource).attributes
    except ScimError as error:
        return Refused(found.line, error.detail, str(found.resource.get("displayName", "")))
    return Incoming(found.line, attributes, key_of(attributes, match), found.notes)


def key_of(attributes: Attributes, match: Match) -> Key:
    """The key of a group: its displayName, unless it is matched by externalId and has one."""
    external_id = attributes.get("externalId")
    if match == "externalId" and isinstance(external_id, str):
        return Key("externalId", external_id)
    return Key("displayName", str(attributes["displayName"]).lower())


def merge(before: Attributes, sent: Attributes) -> Attributes:
    """A group with the attributes of a record: those that the file does not have stay."""
    return {**before, **sent, "schemas": list(dict.fromkeys((*before["schemas"], *sent["schemas"])))}


def batches(found: Iterable[tuple[Record | LineError, Item]]) -> Iterator[Batch]:
    """The memberships of the records of a file. `found` has each record with its item."""
    edges: list[Edge] = []
    records = 0
    for record, item in found:
        records += 1
        edges += _edges(record, item)
        if len(edges) >= MAX_EDGES or records >= MAX_RECORDS:
            yield Batch(records, edges)
            edges, records = [], 0
    if records:
        yield Batch(records, edges)


def _edges(record: Record | LineError, item: Item) -> Sequence[Edge]:
    if isinstance(record, LineError):
        return ()
    if isinstance(item, Incoming):
        name = str(item.attributes["displayName"])
        by_external_id = item.key.by == "externalId"
        group = MemberReference(
            name,
            "group",
            external_id=item.key.value if by_external_id else None,
            display_name=None if by_external_id else name,
        )
        return [Edge(record.line, group, member) for member in record.members]
    if record.kind == "user" and record.groups:
        name = str(record.resource.get("userName", ""))
        external_id = record.resource.get("externalId")
        user = MemberReference(name, "user", None, external_id if isinstance(external_id, str) else None, name)
        return [Edge(record.line, group, user) for group in record.groups]
    return ()
