"""The rules for members: parses sent members and PATCH operations, and checks members against known ids; no I/O."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from quartet_common.core.identifiers import parse_id
from quartet_groups.events import NestedGroup
from quartet_scim.errors import ScimError, invalid_value
from quartet_scim.patch import MemberChanges
from quartet_scim.resource import Attributes

MAX_NAMED = 3
"""The number of invalid members that an error names."""


class Kind(StrEnum):
    """The type of a member (RFC 7643 section 4.2)."""

    USER = "User"
    GROUP = "Group"


KINDS = {kind.lower(): kind for kind in Kind}


class SentMember(NamedTuple):
    """A member as sent by a client: `place` is its index in the request, `kind` None without a type."""

    id: UUID
    place: int
    kind: Kind | None


@dataclass(frozen=True)
class MemberOrders:
    """The effect of a PATCH on the members: removes all but `added` if `replaces_all`, else `removed`; adds `added`."""

    replaces_all: bool
    removed: Sequence[UUID]
    added: Sequence[SentMember]


@dataclass(frozen=True)
class Members:
    """Members by type."""

    users: Sequence[UUID] = ()
    groups: Sequence[NestedGroup] = ()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups)


EMPTY = Members()


@dataclass(frozen=True)
class MemberChange:
    """The members that were added to a group and removed from it."""

    added: Members = EMPTY
    removed: Members = EMPTY

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def split_members(attributes: Attributes) -> tuple[Attributes, list[SentMember]]:
    """`attributes` without members, and the members, each once, in the order sent.

    Raises ScimError 400 for an invalid id and for a type other than User and Group.
    """
    rest = {name: value for name, value in attributes.items() if name != "members"}
    return rest, _read(attributes.get("members", ()))


def read_orders(changes: MemberChanges) -> MemberOrders:
    """`changes` with parsed ids; invalid ids to remove are ignored, since no member has them.

    Raises ScimError 400 for invalid members to add.
    """
    removed = [found for found in map(parse_id, changes.removed) if found is not None]
    return MemberOrders(changes.replaces_all, removed, _read(changes.added.values()))


def _read(sent: Iterable[Mapping[str, Any]]) -> list[SentMember]:
    found: dict[UUID, SentMember] = {}
    for index, member in enumerate(sent):
        kind = _kind(member.get("type"), index)
        identifier = parse_id(str(member.get("value", "")))
        if identifier is None:
            raise invalid_value(f"members[{index}].value: no user or group has that id.")
        before = found.get(identifier)
        if before is not None:
            if kind is not None and before.kind not in (None, kind):
                raise invalid_value(f"members[{index}].type: the same member was sent with another type.")
            kind = kind or before.kind
        found[identifier] = SentMember(identifier, index, kind)
    return list(found.values())


def _kind(sent: object, index: int) -> Kind | None:
    if sent is None:
        return None
    kind = KINDS.get(str(sent).lower())
    if kind is None:
        raise invalid_value(f"members[{index}].type must be User or Group.")
    return kind


def split_by_kind(
    sent: Sequence[SentMember], users: Collection[UUID], groups: Mapping[UUID, str]
) -> tuple[list[UUID], list[NestedGroup]]:
    """Split `sent` into users and groups. `users` and `groups` (with their names) are those that exist.

    Raises ScimError 400, which names members[i], for unknown ids and for members of another type than sent.
    """
    wrong = [
        one for one in sent if one.kind is (Kind.USER if one.id in groups else Kind.GROUP) and _is(one, users, groups)
    ]
    if wrong:
        raise _wrong_type(wrong[0], groups)
    unknown = [one for one in sent if not _is(one, users, groups)]
    if unknown:
        raise _unknown(unknown)
    named = [NestedGroup(one.id, groups[one.id]) for one in sent if one.id in groups]
    return [one.id for one in sent if one.id not in groups], named


def _is(one: SentMember, users: Collection[UUID], groups: Mapping[UUID, str]) -> bool:
    return one.id in users or one.id in groups


def _wrong_type(one: SentMember, groups: Mapping[UUID, str]) -> ScimError:
    kind = Kind.GROUP if one.id in groups else Kind.USER
    return invalid_value(f"members[{one.place}].type: {one.id} is a {kind}.")


def _unknown(unknown: Sequence[SentMember]) -> ScimError:
    one = unknown[0]
    no_owner = {Kind.USER: "no user has", Kind.GROUP: "no group has", None: "no user or group has"}[one.kind]
    others = ", ".join(str(other.id) for other in unknown[1:MAX_NAMED])
    also = f", neither {others}" if others else ""
    more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
    return invalid_value(f"members[{one.place}].value: {no_owner} the id {one.id}{also}{more}.")
