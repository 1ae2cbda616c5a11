"""LDIF: users as inetOrgPerson, groups as groupOfNames with their members by distinguished name."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quartet_directory_formats.attribute_names import ENTERPRISE
from quartet_directory_formats.attribute_paths import parse_path
from quartet_directory_formats.distinguished_names import escape
from quartet_directory_formats.records import Kind

USERS, GROUPS = "ou=users", "ou=groups"
ATTRIBUTES = tuple(
    (name, parse_path(path))
    for name, path in (
        ("givenName", "name.givenName"),
        ("displayName", "displayName"),
        ("title", "title"),
        ("employeeType", "userType"),
        ("preferredLanguage", "preferredLanguage"),
        ("labeledURI", "profileUrl"),
        ("telephoneNumber", 'phoneNumbers[type eq "work"].value'),
        ("mobile", 'phoneNumbers[type eq "mobile"].value'),
        ("homePhone", 'phoneNumbers[type eq "home"].value'),
        ("street", 'addresses[type eq "work"].streetAddress'),
        ("l", 'addresses[type eq "work"].locality'),
        ("st", 'addresses[type eq "work"].region'),
        ("postalCode", 'addresses[type eq "work"].postalCode'),
        ("employeeNumber", f"{ENTERPRISE}:employeeNumber"),
        ("departmentNumber", f"{ENTERPRISE}:department"),
        ("o", f"{ENTERPRISE}:organization"),
    )
)
LOCKED = "000001010000Z"
"""The value of pwdAccountLockedTime for a user who is disabled."""
SAFE = re.compile(r"[\x01-\x09\x0b\x0c\x0e-\x1f\x21-\x39\x3b\x3d-\x7f][\x01-\x09\x0b\x0c\x0e-\x7f]*", re.ASCII)
WIDTH = 76
PBKDF2 = re.compile(r"\$pbkdf2-(sha\d+)\$i=(\d+)\$([^$]+)\$(.+)")


class LdifWriter:
    """Entries of users below ou=users, or of groups below ou=groups."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def head(self) -> bytes:
        """The version."""
        return b"version: 1\n"

    def record(self, resource: Mapping[str, Any], password_hash: str | None = None) -> bytes:
        """An entry, which further members may follow."""
        lines = _user(resource, password_hash) if self._kind == "user" else _group(resource)
        return b"\n" + b"".join(_line(name, value) for name, value in lines)

    def more_members(self, _: Mapping[str, Any], /, members: Sequence[Mapping[str, Any]]) -> bytes:
        """Further `member` lines of the last entry."""
        return b"".join(_line("member", _member(one)) for one in members)


def _user(resource: Mapping[str, Any], password_hash: str | None) -> Iterator[tuple[str, str]]:
    document, name = dict(resource), str(resource["userName"])
    parts = resource.get("name") or {}
    yield "dn", f"uid={escape(name)},{USERS}"
    for kind in ("top", "person", "organizationalPerson", "inetOrgPerson"):
        yield "objectClass", kind
    yield "uid", name
    yield "cn", str(resource.get("displayName") or parts.get("formatted") or name)
    yield "sn", str(parts.get("familyName") or name)
    for attribute, path in ATTRIBUTES:
        if value := path.get(document):
            yield attribute, value
    for email in resource.get("emails") or ():
        if email.get("value"):
            yield "mail", str(email["value"])
    if resource.get("active") is False:
        yield "pwdAccountLockedTime", LOCKED
    if password_hash:
        yield "userPassword", _user_password(password_hash)


def _group(resource: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = str(resource["displayName"])
    yield "dn", f"cn={escape(name)},{GROUPS}"
    yield "objectClass", "top"
    yield "objectClass", "groupOfNames"
    yield "cn", name
    members = resource.get("members") or ()
    for one in members:
        yield "member", _member(one)
    if not members:
        yield "member", ""  # groupOfNames needs one


def _member(member: Mapping[str, Any]) -> str:
    if member.get("type") == "Group":
        return f"cn={escape(str(member.get('display') or member['value']))},{GROUPS}"
    return f"uid={escape(str(member.get('userName') or member['value']))},{USERS}"


def _user_password(password_hash: str) -> str:
    """The hash in the form of LDAP."""
    if match := PBKDF2.fullmatch(password_hash):
        salt, value = (text.replace("+", ".") for text in match.group(3, 4))
        return f"{{PBKDF2-{match[1].upper()}}}{match[2]}${salt}${value}"
    if password_hash.startswith("$argon2"):
        return f"{{ARGON2}}{password_hash}"
    scheme = "SCRYPT" if password_hash.startswith("$scrypt") else "CRYPT"
    return f"{{{scheme}}}{password_hash}"


def _line(name: str, value: str) -> bytes:
    """`name: value`, in base64 if necessary, folded."""
    is_safe = not value or (SAFE.fullmatch(value) is not None and not value.endswith(" "))
    encoded = f": {value}" if is_safe else f":: {base64.b64encode(value.encode('utf-8', 'replace')).decode('ascii')}"
    text = f"{name}{encoded}".rstrip(" ") if not value else f"{name}{encoded}"
    pieces = [text[:WIDTH], *(f" {text[start : start + WIDTH - 1]}" for start in range(WIDTH, len(text), WIDTH - 1))]
    return "\n".join(pieces).encode("ascii") + b"\n"
