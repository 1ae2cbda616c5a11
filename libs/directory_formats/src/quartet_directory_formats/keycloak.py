"""Realm exports of Keycloak: users with their password hashes and groups, and nested groups."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from quartet_directory_formats import password_hashes
from quartet_directory_formats.attribute_names import check_mapping, path_of, target_of
from quartet_directory_formats.json_elements import read_elements
from quartet_directory_formats.records import (
    Document,
    InvalidRecordError,
    LineError,
    MemberReference,
    OpenFile,
    Options,
    Record,
    shown,
)
from quartet_directory_formats.resources import GROUP, USER, check_document

PBKDF2 = {"pbkdf2": "sha1", "pbkdf2-sha256": "sha256", "pbkdf2-sha512": "sha512"}
ARGON2_VERSIONS = {"1.0": 16, "1.3": 19}
NOT_IMPORTED = (
    ("realmRoles", "realm roles"),
    ("clientRoles", "roles of clients"),
    ("requiredActions", "required actions"),
    ("federatedIdentities", "federated identities"),
)
"""Members of users and groups that become a note."""


class UserItem(NamedTuple):
    """A user as exported."""

    number: int
    user: Any


class GroupItem(NamedTuple):
    """A group as exported, without its subgroups, and the paths of those."""

    number: int
    path: str
    group: Any
    children: Sequence[str]


def read_items(open_file: OpenFile, options: Options) -> Iterator[UserItem | GroupItem | LineError]:
    """The users and groups in the order of the file. Raises FormatError."""
    check_mapping(options.mapping)
    for element in read_elements(open_file, ("users", "groups")):
        if isinstance(element, LineError):
            yield element
        elif element.name == "users":
            yield UserItem(element.number, element.value)
        else:
            yield from _with_subgroups(element.number, element.value)


def convert(item: UserItem | GroupItem, options: Options) -> Record:
    """The record of a user or group. Raises InvalidRecordError."""
    return _user(item, options) if isinstance(item, UserItem) else _group(item)


def _with_subgroups(number: int, element: Any) -> Iterator[GroupItem]:
    """A group and all groups below it, each before its subgroups."""
    left: list[tuple[str, Any]] = [("", element)]
    while left:
        parent, group = left.pop()
        if not isinstance(group, dict):
            yield GroupItem(number, "", group, ())
            continue
        path = _path(parent, group)
        below = group.get("subGroups")
        subgroups = below if isinstance(below, list) else []
        children = [_path(path, one) for one in subgroups if isinstance(one, dict)]
        yield GroupItem(number, path, {name: value for name, value in group.items() if name != "subGroups"}, children)
        left += [(path, one) for one in reversed(subgroups)]


def _path(parent: str, group: Document) -> str:
    """The path of a group: `/a/b`, with `~/` for a slash in a name."""
    path = group.get("path")
    if isinstance(path, str) and path:
        return path
    return f"{parent}/{str(group.get('name', '')).replace('/', '~/')}"


def _group(item: GroupItem) -> Record:
    if not isinstance(item.group, dict):
        raise InvalidRecordError("A group must be a JSON object.", item.group)
    check_document(item.group)
    name = item.group.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRecordError("The group has no name.", item.path)
    notes = _notes(item.group)
    if item.group.get("attributes"):
        notes.append(f"Attributes that are not imported: {shown(', '.join(item.group['attributes']))}.")
    resource: Document = {"schemas": [GROUP], "externalId": item.path, "displayName": name}
    members = tuple(MemberReference(path, "group", external_id=path) for path in item.children)
    return Record(item.number, "group", resource, _text(item.group.get("id")), members=members, notes=tuple(notes))


def _user(item: UserItem, options: Options) -> Record:
    user = item.user
    if not isinstance(user, dict):
        raise InvalidRecordError("A user must be a JSON object.", user)
    check_document(user)
    name = user.get("username")
    if not isinstance(name, str) or not name:
        raise InvalidRecordError("The user has no username.", user.get("id", ""))
    if user.get("serviceAccountClientId"):
        raise InvalidRecordError("It is the service account of a client: create a client instead.", name)
    notes = _notes(user)
    resource = _resource(user, name)
    _add_attributes(resource, user.get("attributes"), options, notes)
    password_hash = _password_hash(user.get("credentials"), notes)
    groups = tuple(_group_reference(one) for one in user.get("groups") or ())
    return Record(
        item.number, "user", resource, _text(user.get("id")), password_hash, groups=groups, notes=tuple(notes)
    )


def _resource(user: Document, name: str) -> Document:
    resource: Document = {"schemas": [USER], "userName": name, "active": user.get("enabled") is not False}
    if identifier := _text(user.get("id")):
        resource["externalId"] = identifier
    given, family, email = (_text(user.get(key)) for key in ("firstName", "lastName", "email"))
    parts = {"givenName": given, "familyName": family}
    if given or family:
        resource["name"] = {key: value for key, value in parts.items() if value}
        resource["displayName"] = " ".join(value for value in parts.values() if value)
    if email:
        resource["emails"] = [{"value": email, "type": "work", "primary": True}]
    return resource


def _group_reference(path: Any) -> MemberReference:
    if not isinstance(path, str) or not path:
        raise InvalidRecordError("The groups of a user must be paths.", path)
    return MemberReference(path, "group", external_id=path)


def _add_attributes(resource: Document, attributes: Any, options: Options, notes: list[str]) -> None:
    """Add the user-defined attributes that have a place; the others become a note."""
    ignored = []
    for name, values in attributes.items() if isinstance(attributes, dict) else ():
        target = target_of(name, options.mapping)
        path = path_of(target) if target else None
        texts = [one for one in values if isinstance(one, str)] if isinstance(values, list) else [str(values)]
        if target == "" or not texts:
            continue
        if path is None or path.attribute in ("userName", "externalId", "active", "password"):
            ignored.append(name)
            continue
        path.put(resource, texts[0])
        if len(texts) > 1:
            notes.append(f"Only the first value of the attribute {shown(name)} is imported.")
    if ignored:
        notes.append(f"Attributes that are not imported: {shown(', '.join(ignored))}.")


def _notes(exported: Document) -> list[str]:
    return [
        f"The {text} are not imported: {shown(_names(exported[name]))}."
        for name, text in NOT_IMPORTED
        if exported.get(name)
    ]


def _names(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one.get("identityProvider", "")) if isinstance(one, dict) else str(one) for one in value)
    return ", ".join(value) if isinstance(value, dict) else str(value)


def _password_hash(credentials: Any, notes: list[str]) -> str | None:
    """The hash of the first password among the credentials; others become notes."""
    found = None
    for one in credentials if isinstance(credentials, list) else ():
        kind = one.get("type") if isinstance(one, dict) else None
        if kind != "password":
            notes.append(f"A credential is not imported: {shown(kind or 'unknown')}.")
            continue
        try:
            found = found or _hash_of(one)
        except InvalidRecordError as error:
            notes.append(f"The password hash is not imported: {error.reason}.")
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            notes.append("The password hash is not imported: its credential is not complete.")
    return found


def _hash_of(credential: Document) -> str:
    data = _nested(credential.get("credentialData")) or credential
    secret = _nested(credential.get("secretData")) or credential
    algorithm, iterations = str(data["algorithm"]).lower(), int(data["hashIterations"])
    salt = password_hashes.decode(secret["salt"])
    value = password_hashes.decode(secret.get("value") or secret["hashedSaltedValue"])
    if algorithm in PBKDF2:
        return password_hashes.pbkdf2(PBKDF2[algorithm], iterations, salt, value)
    if algorithm == "argon2":
        more = data["additionalParameters"]
        kind, version, memory, lanes = (more[name][0] for name in ("type", "version", "memory", "parallelism"))
        costs = (int(memory), iterations, int(lanes))
        return password_hashes.argon2(f"argon2{kind}", ARGON2_VERSIONS[version], costs, salt, value)
    raise InvalidRecordError(f"the algorithm {shown(algorithm)} is not supported")


def _nested(text: Any) -> Document:
    """The JSON object in a text, {} for none."""
    found = orjson.loads(text) if isinstance(text, str) else text
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
