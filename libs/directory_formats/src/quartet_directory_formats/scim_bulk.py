"""SCIM Bulk (RFC 7644 section 3.7): POST operations of users and groups, which refer to each other by bulkId."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from quartet_directory_formats.json_elements import read_elements
from quartet_directory_formats.records import (
    Document,
    FormatError,
    InvalidRecordError,
    Kind,
    LineError,
    MemberReference,
    OpenFile,
    Options,
    Record,
)
from quartet_directory_formats.resources import read_resource, with_schemas

ENDPOINTS: dict[str, Kind] = {"users": "user", "groups": "group"}
MAX_BULK_IDS = 500_000
PREFIX = "bulkId:"

Names = Mapping[str, MemberReference]


class Item(NamedTuple):
    """An operation, and what the bulkIds of the file name."""

    number: int
    operation: Any
    names: Names


def read_items(open_file: OpenFile, _: Options) -> Iterator[Item | LineError]:
    """The operations; the file is read twice, since a bulkId may be used before it is defined. Raises FormatError."""
    names = _read_names(open_file)
    for element in read_elements(open_file, ("operations",)):
        if isinstance(element, LineError):
            yield element
        else:
            yield Item(element.number, element.value, names)


def convert(item: Item, _: Options) -> Record:
    """The record of an operation. Raises InvalidRecordError."""
    if not isinstance(item.operation, dict):
        raise InvalidRecordError("An operation must be a JSON object.", item.operation)
    operation = {name.lower(): value for name, value in item.operation.items()}
    method, path = operation.get("method"), operation.get("path")
    if not isinstance(method, str) or method.upper() != "POST":
        raise InvalidRecordError("Only POST operations are imported.", method)
    kind = _kind(path)
    data = operation.get("data")
    if kind is None:
        raise InvalidRecordError("The path must be /Users or /Groups.", path)
    if not isinstance(data, dict):
        raise InvalidRecordError("The data of an operation must be a JSON object.", data)
    found = read_resource(item.number, with_schemas(data, kind))
    if found.kind != kind:
        raise InvalidRecordError(f"The data are not a {kind}, as the path says.", path)
    notes = found.notes
    resource = found.resource
    managers = [name for name, value in resource.items() if isinstance(value, dict) and _has_bulk_id(value)]
    for name in managers:
        resource[name] = {key: value for key, value in resource[name].items() if not _is_bulk_id(value)}
        notes += ("A reference to a bulkId is imported in members only.",)
    members = tuple(_named(one, item.names) for one in found.members)
    groups = tuple(_named(one, item.names) for one in found.groups)
    return Record(item.number, kind, resource, found.id, found.password_hash, members, groups, notes)


def _named(member: MemberReference, names: Names) -> MemberReference:
    if not member.text.startswith(PREFIX):
        return member
    found = names.get(member.text[len(PREFIX) :])
    if found is None:
        raise InvalidRecordError("No operation with a name has this bulkId.", member.text)
    return found


def _read_names(open_file: OpenFile) -> Names:
    names: dict[str, MemberReference] = {}
    for element in read_elements(open_file, ("operations",)):
        if isinstance(element, LineError) or not isinstance(element.value, dict):
            continue
        operation = {name.lower(): value for name, value in element.value.items()}
        bulk_id, data, kind = operation.get("bulkid"), operation.get("data"), _kind(operation.get("path"))
        if isinstance(bulk_id, str) and isinstance(data, dict) and kind:
            if len(names) == MAX_BULK_IDS:
                raise FormatError(f"The file has more than {MAX_BULK_IDS} bulkIds: divide it.")
            names[bulk_id] = _reference(bulk_id, kind, data)
    return names


def _reference(bulk_id: str, kind: Kind, data: Document) -> MemberReference:
    members = {name.lower(): value for name, value in data.items() if isinstance(value, str)}
    user_name = members.get("username") if kind == "user" else None
    display_name = members.get("displayname") if kind == "group" else None
    return MemberReference(f"{PREFIX}{bulk_id}", kind, None, members.get("externalid"), user_name, display_name)


def _kind(path: Any) -> Kind | None:
    return ENDPOINTS.get(path.strip("/").lower()) if isinstance(path, str) else None


def _is_bulk_id(value: Any) -> bool:
    if isinstance(value, dict):
        return _has_bulk_id(value)
    return isinstance(value, str) and value.startswith(PREFIX)


def _has_bulk_id(value: Document) -> bool:
    return any(map(_is_bulk_id, value.values()))
