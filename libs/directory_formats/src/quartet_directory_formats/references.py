"""References to members and groups, as files write them: a text, or an object of SCIM."""

import re
from collections.abc import Iterable
from typing import Any

from quartet_directory_formats.records import InvalidRecordError, Kind, MemberReference

ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
PREFIXED = re.compile(r"(id|externalId|userName|displayName|user|group):(.+)", re.DOTALL)
KINDS: dict[str, Kind] = {"user": "user", "group": "group"}
FIELDS = ("externalid", "username", "displayname", "display")


def read_references(sent: Any, kind: Kind | None = None) -> tuple[MemberReference, ...]:
    """The references of a list of texts and objects; `kind` of those that do not say it. Raises InvalidRecordError."""
    if sent is None:
        return ()
    if not isinstance(sent, list):
        raise InvalidRecordError("Members and groups must be a list.", sent)
    return tuple(read_reference(one, kind) for one in sent)


def read_reference(sent: Any, kind: Kind | None = None) -> MemberReference:
    """One reference. Raises InvalidRecordError."""
    if isinstance(sent, str) and sent:
        return reference_of_text(sent, kind)
    if isinstance(sent, dict):
        return _reference_of_object(sent, kind)
    raise InvalidRecordError("A member must be a text or an object with a value.", sent)


def reference_of_text(text: str, kind: Kind | None = None) -> MemberReference:
    """`bjensen`, or with a prefix: `id:`, `externalId:`, `userName:`, `displayName:`, `user:` or `group:`."""
    match = PREFIXED.fullmatch(text)
    name, value = (match[1], match[2]) if match else ("", text)
    if name in KINDS:
        return _any(value, text, KINDS[name])
    if name == "id":
        return MemberReference(text, kind, id=value)
    if name == "externalId":
        return MemberReference(text, kind, external_id=value)
    if name == "userName":
        return MemberReference(text, "user", user_name=value)
    if name == "displayName":
        return MemberReference(text, "group", display_name=value)
    return _any(value, text, kind)


def _any(value: str, text: str, kind: Kind | None) -> MemberReference:
    """A reference whose value may be an id, an externalId or a name."""
    found = value if ID.fullmatch(value) else None
    return MemberReference(
        text,
        kind,
        found,
        value,
        None if kind == "group" or found else value,
        None if kind == "user" or found else value,
    )


def _reference_of_object(sent: dict[str, Any], kind: Kind | None) -> MemberReference:
    members = {name.lower(): value for name, value in sent.items() if isinstance(value, str) and value}
    kind = KINDS.get(members.get("type", "").lower(), kind)
    value = members.get("value")
    external_id, user_name, display_name, display = map(members.get, FIELDS)
    if value is None and external_id is None and user_name is None and display_name is None:
        raise InvalidRecordError("A member must have a value, externalId, userName or displayName.", sent)
    if value is not None and external_id is None and user_name is None and display_name is None:
        if not ID.fullmatch(value):
            return reference_of_text(value, kind)
        return MemberReference(value, kind, value, value)
    identifier = value if value and ID.fullmatch(value) else None
    text = value or external_id or user_name or display_name or display or ""
    return MemberReference(text, kind, identifier, external_id, user_name, display_name)


def write_reference(member: dict[str, Any]) -> str:
    """The text of a member of a served group: its userName or externalId, which other deployments know, or its id."""
    is_group = member.get("type") == "Group"
    if member.get("userName"):
        return f"userName:{member['userName']}"
    if member.get("externalId"):
        return f"externalId:{member['externalId']}"
    if is_group and member.get("display"):
        return f"displayName:{member['display']}"
    return f"id:{member['value']}"


def join_references(texts: Iterable[str]) -> str:
    """Texts as one cell: separated by `;`, with `\\` before a `;` or `\\` in a text."""
    return ";".join(text.replace("\\", "\\\\").replace(";", "\\;") for text in texts)


def split_references(cell: str) -> list[str]:
    """The texts of a cell, without spaces around them: the inverse of `join_references`. Empty texts are left out."""
    texts = [re.sub(r"\\([\\;])", r"\1", text).strip() for text in re.findall(r"(?:\\[\\;]|[^;])+", cell)]
    return [text for text in texts if text]
