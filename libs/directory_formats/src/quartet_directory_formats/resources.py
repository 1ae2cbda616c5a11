"""SCIM resources as records: what is not an attribute of the resource is taken out."""

from typing import Any

from quartet_directory_formats.password_hashes import read_password_hash
from quartet_directory_formats.records import Document, InvalidRecordError, Kind, Record
from quartet_directory_formats.references import read_references

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
SCHEMAS: dict[Kind, str] = {"user": USER, "group": GROUP}
URN = "urn:"
MAX_DEPTH = 32
"""Maximum levels of a document: as in requests."""
NOT_STORED = {"id", "meta", "members", "groups", "passwordhash"}
"""Members, in lower case, that are no attributes of a stored resource."""


def check_document(document: Any) -> None:
    """Raises InvalidRecordError for more than MAX_DEPTH levels and for texts with NUL."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidRecordError(f"The record has more than {MAX_DEPTH} levels.")
        following: list[Any] = []
        for value in level:
            if isinstance(value, str):
                if "\x00" in value:
                    raise InvalidRecordError("A text has a NUL character.", value)
            elif isinstance(value, dict):
                following += value
                following += value.values()
            elif isinstance(value, list):
                following += value
        level = following


def read_resource(line: int, document: Any) -> Record:
    """The record of a resource as JSON. Raises InvalidRecordError."""
    if not isinstance(document, dict):
        raise InvalidRecordError("A record must be a JSON object.", document)
    check_document(document)
    special = {name.lower(): value for name, value in document.items() if name.lower() in NOT_STORED}
    resource = {name: value for name, value in document.items() if name.lower() not in NOT_STORED}
    meta = special.get("meta")
    kind = kind_of(resource, meta if isinstance(meta, dict) else {})
    identifier = special.get("id")
    password_hash, notes = read_password_hash(special.get("passwordhash"))
    return Record(
        line,
        kind,
        with_schemas(resource, kind),
        identifier if isinstance(identifier, str) else None,
        password_hash,
        read_references(special.get("members")) if kind == "group" else (),
        read_references(special.get("groups"), "group") if kind == "user" else (),
        notes,
    )


def kind_of(resource: Document, meta: Document) -> Kind:
    """What a resource is, by its schemas, its type or its names. Raises InvalidRecordError."""
    members = {name.lower(): value for name, value in resource.items()}
    schemas = members.get("schemas")
    named = {str(one).lower() for one in schemas} if isinstance(schemas, list) else set()
    resource_type = meta.get("resourceType")
    is_user = USER.lower() in named or resource_type == "User"
    is_group = GROUP.lower() in named or resource_type == "Group"
    if is_user and is_group:
        raise InvalidRecordError("The record has the schemas of a user and of a group.", schemas)
    if is_user or is_group:
        return "user" if is_user else "group"
    if "username" in members:
        return "user"
    if "displayname" in members:
        return "group"
    raise InvalidRecordError("The record has neither userName nor displayName.", ", ".join(resource))


def with_schemas(resource: Document, kind: Kind) -> Document:
    """`resource` with `schemas`, if it has none: that of its kind, and of its extensions."""
    if any(name.lower() == "schemas" for name in resource):
        return resource
    return {"schemas": [SCHEMAS[kind], *(name for name in resource if name.startswith(URN))], **resource}
