"""Separates the changes of group members from the other operations of a PATCH: sets to add and to remove.

Members are rows in a database, and the cost of a PATCH must not grow with the group. All sequences of operations are
equivalent to a new set of members, or to ids to add and ids to remove.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from quartet_scim.attribute_conversion import compiled
from quartet_scim.errors import ScimError
from quartet_scim.filters import Compare, Filter, Operator, Or, parse_path
from quartet_scim.patch.messages import Op, Operation, operation_error, sole
from quartet_scim.patch.multi_values import listed_values
from quartet_scim.schema import group_schema
from quartet_scim.value_conversion import Convert, WrongValueError

_URN = "urn:ietf:params:scim:schemas:core:2.0:group"
Member = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MemberChanges:
    """The changes of a group's members: first `removed` are removed, then `added` are added.

    replaces_all: all members that are not in `added` are removed. removed: ids; empty if replaces_all. added: by id,
    with the sent sub-attributes (`value`, `type`, `$ref`), in the order sent. No id is in both. To add an existing
    member and to remove a missing one are no errors (RFC 7644 3.5.2.1, 3.5.2.2).
    """

    replaces_all: bool
    removed: tuple[str, ...]
    added: Mapping[str, Member]

    def __bool__(self) -> bool:
        return self.replaces_all or bool(self.removed or self.added)


def split_member_operations(operations: Iterable[Operation]) -> tuple[MemberChanges, list[Operation]]:
    """The changes of members in `operations`, and the operations for other attributes.

    The cost grows with the operations alone. Raises ScimError 400, with the operation's index: mutability for the
    attributes of a member, invalidPath for a filter that is not `value eq "id"` or several of them joined by `or`,
    invalidValue for members without `value`.
    """
    folding, rest = _Folding(), []
    for operation in operations:
        try:
            left = _rest(operation, folding)
        except (WrongValueError, ScimError) as wrong:
            raise operation_error(operation.index, wrong) from None
        if left is not None:
            rest.append(left)
    return folding.changes(), rest


class _Folding:
    """The changes after the operations so far."""

    def __init__(self) -> None:
        self._replaces_all = False
        self._removed: dict[str, None] = {}
        self._added: dict[str, Member] = {}

    def add(self, members: Iterable[Member]) -> None:
        for member in members:
            self._removed.pop(member["value"], None)
            self._added[member["value"]] = self._added.get(member["value"], {}) | member

    def remove(self, ids: Iterable[str]) -> None:
        for one in ids:
            self._added.pop(one, None)
            if not self._replaces_all:
                self._removed[one] = None

    def replace_all(self, members: Iterable[Member]) -> None:
        self._replaces_all = True
        self._removed.clear()
        self._added.clear()
        self.add(members)

    def changes(self) -> MemberChanges:
        return MemberChanges(self._replaces_all, tuple(self._removed), self._added)


def _rest(operation: Operation, folding: _Folding) -> Operation | None:
    """The operation without its changes of members, None if it has no others."""
    if operation.path is not None and operation.path.lower() != _URN:
        path = _bare(operation.path)
        if not _is_about_members(path):
            return operation
        if operation.op is Op.REMOVE and path == "members" and not operation.names_value:
            folding.replace_all([])
        else:
            _fold(folding, operation.op, path, operation.value)
        return None
    value = sole(operation.value)
    if operation.op is Op.REMOVE or not isinstance(value, dict):
        return operation
    others = _others(operation.op, value, folding)
    if others == value:
        return operation
    return replace(operation, value=others) if others else None


def _others(op: Op, value: dict[str, Any], folding: _Folding) -> dict[str, Any]:
    """The attributes of an object without members, which may also be under the schema's URN."""
    others = {}
    for name, item in value.items():
        bare = _bare(name)
        if _is_about_members(bare):
            _fold(folding, op, bare, item)
        elif name.lower() == _URN and isinstance(item, dict):
            others[name] = _others(op, item, folding)
        else:
            others[name] = item
    return others


def _bare(path: str) -> str:
    """The path without the core schema's URN; `members` in lower case."""
    bare = path[len(_URN) + 1 :] if path.lower().startswith((f"{_URN}:", f"{_URN}.")) else path
    return "members" if bare.lower() == "members" else bare


def _is_about_members(path: str) -> bool:
    return path == "members" or path.lower().startswith(("members[", "members."))


def _fold(folding: _Folding, op: Op, path: str, value: Any) -> None:
    if path != "members":
        _fold_chosen(folding, op, path, value)
    elif op is Op.ADD:
        folding.add(_members(value))
    elif op is Op.REPLACE:
        folding.replace_all(_members(value))
    else:
        folding.remove(member["value"] for member in _members(_listed(value)))


def _fold_chosen(folding: _Folding, op: Op, path: str, value: Any) -> None:
    """Apply an operation to the members in a filter; a written member that is missing is added, as elsewhere."""
    parsed = parse_path(path)
    if parsed.filter is None or parsed.sub is not None:
        raise WrongValueError("cannot be written by their attributes, which are immutable", "mutability").under(
            "members"
        )
    ids = dict.fromkeys(_ids(parsed.filter))
    if op is Op.REMOVE or value is None:
        folding.remove(ids)
        return
    sent = [] if value in ({}, []) else _members(value)
    if any(member["value"] not in ids for member in sent):
        raise WrongValueError("is immutable", "mutability").under("members.value")
    folding.add([{"value": one} for one in ids])
    folding.add(sent)


def _ids(tree: Filter) -> Iterator[str]:
    terms = tree.terms if isinstance(tree, Or) else (tree,)
    for term in terms:
        if isinstance(term, Or):
            yield from _ids(term)
        elif (
            isinstance(term, Compare)
            and str(term.path).lower() == "value"
            and term.op is Operator.EQ
            and isinstance(term.value, str)
        ):
            yield term.value
        else:
            raise WrongValueError('can be selected by value eq "id" only, joined by or', "invalidPath").under("members")


def _listed(value: Any) -> Any:
    try:
        return listed_values("members", value)
    except WrongValueError as wrong:
        raise wrong.under("members") from None


def _members(value: Any) -> list[Member]:
    if value is None:
        return []
    try:
        return _convert()([value] if isinstance(value, str) else value) or []
    except WrongValueError as wrong:
        raise wrong.under("members") from None


@cache
def _convert() -> Convert:
    """The conversion of members in POST and PUT."""
    return next(compiled(one).convert for one in group_schema().attributes if one.name == "members")
