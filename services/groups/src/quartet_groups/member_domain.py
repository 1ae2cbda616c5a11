"""The rules for members: what a client sent of them, what a PATCH wants of them, what came of it; no I/O."""

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
"""How many wrong members an error names."""


class Kind(StrEnum):
    """What a member is (RFC 7643 section 4.2)."""

    USER = "User"
    GROUP = "Group"


KINDS = {kind.lower(): kind for kind in Kind}


class SentMember(NamedTuple):
    """A member as a client sent it: `place` counts those that were sent from 0, `kind` None if it does not say."""

    id: UUID
    place: int
    kind: Kind | None


@dataclass(frozen=True)
class MemberOrders:
    """What a PATCH wants of the members: if `replaces_all` everybody goes who is not in `added`, else `removed` go."""

    replaces_all: bool
    removed: Sequence[UUID]
    added: Sequence[SentMember]


@dataclass(frozen=True)
class Members:
    """Members by what they are."""

    users: Sequence[UUID] = ()
    groups: Sequence[NestedGroup] = ()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups)


NOBODY = Members()


@dataclass(frozen=True)
class MemberChange:
    """Who became a member and who is none any more."""

    added: Members = NOBODY
    removed: Members = NOBODY

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def split_members(attributes: Attributes) -> tuple[Attributes, list[SentMember]]:
    """`attributes` without members, and the members, each once, in the order sent.

    Raises ScimError 400 for a value that is no id and for a type that is neither User nor Group.
    """
    rest = {name: value for name, value in attributes.items() if name != "members"}
    return rest, _read(attributes.get("members", ()))


def read_orders(changes: MemberChanges) -> MemberOrders:
    """`changes` with ids for texts. To remove what is no id changes nothing: nobody has it.

    Raises ScimError 400 for somebody to add who cannot be a member.
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
    """Who of `sent` is a user, and who a group. `users` and `groups` (with their names) are those that exist.

    Raises ScimError 400 for whom nobody knows, and for who is something else than its type says; it names members[i].
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
    nobody = {Kind.USER: "no user has", Kind.GROUP: "no group has", None: "no user or group has"}[one.kind]
    others = ", ".join(str(other.id) for other in unknown[1:MAX_NAMED])
    also = f", neither {others}" if others else ""
    more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
    return invalid_value(f"members[{one.place}].value: {nobody} the id {one.id}{also}{more}.")
