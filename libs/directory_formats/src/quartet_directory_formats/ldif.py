"""LDIF: people and groups of OpenLDAP, 389 Directory Server and Active Directory."""

from collections.abc import Iterator

from quartet_directory_formats.attribute_names import check_mapping, path_of, target_of
from quartet_directory_formats.distinguished_names import normalise_dn, parse_dn
from quartet_directory_formats.ldif_entries import Entry, read_entries
from quartet_directory_formats.lines import Utf8Source
from quartet_directory_formats.password_hashes import is_plain, read_password_hash
from quartet_directory_formats.records import (
    Document,
    InvalidRecordError,
    MemberReference,
    OpenFile,
    Options,
    Record,
)
from quartet_directory_formats.resources import GROUP, USER, with_schemas

PEOPLE = {"person", "organizationalperson", "inetorgperson", "posixaccount", "account", "user"}
GROUPS = {"groupofnames", "groupofuniquenames", "groupofmembers", "posixgroup", "group"}
OTHERS = {"computer"}
"""Object classes of entries that also have one of people, but are none."""
USER_NAMES = ("uid", "userid", "samaccountname", "userprincipalname", "mail", "cn")
"""Attributes that can be the userName: the first that an entry has."""
NAMING = {"uid": "user_name", "userid": "user_name", "samaccountname": "user_name", "cn": "display_name"}
READ_APART = {
    "name",
    "member",
    "members",
    "memberof",
    "groups",
    "id",
    "userpassword",
    "password",
    "externalid",
    "objectid",
}
DISABLED = 2
"""A bit of userAccountControl."""


def read_items(open_file: OpenFile, options: Options) -> Iterator[Entry]:
    """The entries of people and groups, and those that cannot be read; containers are left out. Raises FormatError."""
    check_mapping(options.mapping)
    source = Utf8Source(open_file(), options.encoding)
    return (entry for entry in read_entries(source) if entry.error is not None or _is_directory(entry))


def convert(entry: Entry, options: Options) -> Record:
    """The record of an entry. Raises InvalidRecordError."""
    if entry.error is not None:
        raise entry.error
    dn = entry.text("dn")
    if not dn:
        raise InvalidRecordError("The entry has no dn.", ", ".join(entry.attributes))
    change = entry.text("changetype")
    if change is not None and change.strip().lower() != "add":
        raise InvalidRecordError("Only entries and changes of the type add are imported.", f"changetype: {change}")
    classes = _classes(entry)
    if not classes:
        raise InvalidRecordError("The entry has no objectClass.", dn)
    if any(b"\x00" in value for values in entry.attributes.values() for value in values):
        raise InvalidRecordError("A value has a NUL character.", dn)
    return _group(entry, dn) if classes & GROUPS else _user(entry, dn, options)


def _is_directory(entry: Entry) -> bool:
    """Whether an entry is a person or a group, or has no class or a change, which is reported."""
    classes = _classes(entry)
    if not classes or "changetype" in entry.attributes:
        return True
    return bool(classes & (PEOPLE | GROUPS)) and not classes & OTHERS


def _classes(entry: Entry) -> set[str]:
    values = entry.attributes.get("objectclass", ())
    return {value.decode("utf-8", "replace").strip().lower() for value in values}


def _group(entry: Entry, dn: str) -> Record:
    name = entry.text("cn") or entry.text("displayname")
    if not name:
        raise InvalidRecordError("The group has no cn.", dn)
    resource: Document = {"schemas": [GROUP], "externalId": normalise_dn(dn), "displayName": name}
    named = [text for key in ("member", "uniquemember") for text in entry.texts(key)]
    members = [_by_dn(text) for text in named]
    members += [MemberReference(text, "user", user_name=text) for text in entry.texts("memberuid")]
    return Record(entry.number, "group", resource, members=tuple(members))


def _user(entry: Entry, dn: str, options: Options) -> Record:
    resource: Document = {"externalId": normalise_dn(dn)}
    for name in entry.attributes:
        target = target_of(name, options.mapping) if name not in READ_APART or name in options.mapping else None
        path, text = path_of(target) if target else None, entry.text(name) if target else None
        if path is not None and text:
            path.put(resource, text)
    mapped = {target for name, target in options.mapping.items() if name in entry.attributes}
    if "userName" not in mapped:
        resource["userName"] = next((text for key in USER_NAMES if (text := entry.text(key))), None)
    if not resource.get("userName"):
        raise InvalidRecordError(f"The entry has none of {', '.join(USER_NAMES)}.", dn)
    resource.setdefault("active", not _is_locked(entry))
    _add_names(entry, resource)
    password, password_hash, notes = _password(entry)
    if password is not None:
        resource["password"] = password
    groups = tuple(_by_dn(text, "group") for text in entry.texts("memberof"))
    resource = with_schemas(resource, "user")
    resource["schemas"] = [USER, *resource["schemas"][1:]]
    return Record(entry.number, "user", resource, None, password_hash, groups=groups, notes=notes)


def _add_names(entry: Entry, resource: Document) -> None:
    """Add what LDAP may have several values of, or writes in another form."""
    if "displayName" not in resource and (text := entry.text("cn")):
        resource["displayName"] = text
    addresses = entry.texts("mail")
    if len(addresses) > 1 and "emails" in resource:
        resource["emails"] += [{"value": text} for text in addresses[1:]]


def _by_dn(text: str, kind: str | None = None) -> MemberReference:
    """The reference that a distinguished name is: as an externalId, or by the name that it begins with."""
    first = parse_dn(text)[:1]
    names = {NAMING[key]: value for part in first for key, value in part if key in NAMING}
    is_group = kind == "group"
    return MemberReference(
        text,
        "group" if is_group else None,
        None,
        normalise_dn(text),
        None if is_group else names.get("user_name"),
        names.get("display_name"),
    )


def _is_locked(entry: Entry) -> bool:
    control = entry.text("useraccountcontrol") or ""
    locked_by_control = control.isascii() and control.isdigit() and len(control) < 12 and int(control) & DISABLED != 0
    locked = (entry.text("nsaccountlock") or "").strip().lower() == "true"
    return locked or locked_by_control or (entry.text("pwdaccountlockedtime") or "").startswith("000001010000")


def _password(entry: Entry) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The password or its hash, of the first value that can be taken, and a note if there is none."""
    notes: tuple[str, ...] = ()
    for text in entry.texts("userpassword"):
        if is_plain(text):
            return text, None, ()
        password_hash, notes = read_password_hash(text)
        if password_hash is not None:
            return None, password_hash, ()
    return None, None, notes
