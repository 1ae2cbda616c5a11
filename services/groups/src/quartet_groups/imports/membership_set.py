"""Memberships of a set of records, in its transaction: locks, rules and events as of SCIM requests, for many groups."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from quartet_common.jobs.running_job import SetOutcome
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_directory_formats import MemberReference
from quartet_groups import graph_store, group_domain, group_store, member_store, privilege_store
from quartet_groups.events import NestedGroup
from quartet_groups.group_domain import Group
from quartet_groups.imports import import_store
from quartet_groups.imports.import_domain import Edge
from quartet_groups.imports.reference_resolution import Found
from quartet_groups.member_domain import MemberChange, Members
from quartet_groups.member_resolution import require_valid_nesting
from quartet_groups.privilege_usecases import UncheckedGroupsError
from quartet_scim.errors import ScimError

GONE = "The member was deleted meanwhile."
GROUP_GONE = "The group was deleted meanwhile."


@dataclass
class Wanted:
    """The members that the file has of a group, each with the reference and line that names it."""

    users: dict[UUID, Edge] = field(default_factory=dict)
    groups: dict[NestedGroup, Edge] = field(default_factory=dict)


class MembershipSet:
    """Adds members to groups.

    planned: groups of a dry run that there are not. checked: marked groups that users was asked for. refused: those
    whose scopes the caller does not have, with the reason.
    """

    def __init__(
        self,
        edges: Sequence[Edge],
        resolved: Mapping[MemberReference, Found],
        planned: Collection[UUID],
        checked: Collection[UUID],
        refused: Mapping[UUID, str],
    ) -> None:
        self._edges = edges
        self._resolved = resolved
        self._planned = planned
        self._checked = frozenset(checked)
        self._refused = refused

    async def store(self, work: UnitOfWork, outcome: SetOutcome) -> None:
        """Add the members that are not in their groups yet. Raises UncheckedGroupsError."""
        wanted = self._read(outcome)
        connection, tenant = work.connection, work.tenant
        users = {user for one in wanted.values() for user in one.users}
        known = await group_store.lock_known(connection, tenant, list(users))
        if any(one.groups for one in wanted.values()):  # the order of locks is users, graph, groups everywhere
            await graph_store.lock(connection, tenant)
        groups = {group.id: group for group in await group_store.lock_groups(connection, tenant, list(wanted))}
        await self._require_allowed(work, outcome, wanted, groups)
        for group_id in wanted.keys() - groups.keys() - set(self._planned):
            _fail(outcome, wanted[group_id], GROUP_GONE)
        self._count_planned(outcome, wanted, groups)
        for one in wanted.values():
            for user in one.users.keys() - known:
                outcome.fail(one.users[user].line, GONE, one.users[user].member.text)
        changes = {group: wanted[group] for group in groups if group in wanted}
        await self._add(work, outcome, groups, changes, known)

    def _read(self, outcome: SetOutcome) -> dict[UUID, Wanted]:
        """The members by group; reports references that name nothing."""
        wanted: dict[UUID, Wanted] = defaultdict(Wanted)
        for edge in self._edges:
            parent, member = self._resolved[edge.parent], self._resolved[edge.member]
            if not isinstance(parent, NestedGroup):
                outcome.fail(edge.line, parent if isinstance(parent, str) else "It is no group.", edge.parent.text)
            elif isinstance(member, str):
                outcome.fail(edge.line, member, edge.member.text)
            else:
                members = wanted[parent.id]
                is_again = member in members.groups or member in members.users
                outcome.skipped += is_again
                if isinstance(member, NestedGroup):
                    members.groups.setdefault(member, edge)
                else:
                    members.users.setdefault(member, edge)
        return wanted

    async def _require_allowed(
        self, work: UnitOfWork, outcome: SetOutcome, wanted: dict[UUID, Wanted], groups: Mapping[UUID, Group]
    ) -> None:
        """Leave out groups whose members the caller may not change. Raises UncheckedGroupsError."""
        unchecked: frozenset[UUID] = frozenset()
        for group_id in groups:
            marked = await privilege_store.marked_above(work.connection, work.tenant, group_id)
            unchecked |= marked - self._checked
            if refused := marked & self._refused.keys():
                _fail(outcome, wanted.pop(group_id), self._refused[min(refused)])
        if unchecked:
            raise UncheckedGroupsError(unchecked)

    def _count_planned(self, outcome: SetOutcome, wanted: Mapping[UUID, Wanted], groups: Mapping[UUID, Group]) -> None:
        """Count the memberships of groups that a dry run has not created."""
        for group_id, one in wanted.items():
            if group_id not in groups and group_id in self._planned:
                outcome.done += len(one.users) + len(one.groups)
            elif group_id in groups:
                planned = [nested for nested in one.groups if nested.id in self._planned]
                outcome.done += len(planned)
                for nested in planned:
                    del one.groups[nested]

    async def _add(
        self,
        work: UnitOfWork,
        outcome: SetOutcome,
        groups: Mapping[UUID, Group],
        wanted: Mapping[UUID, Wanted],
        known: Collection[UUID],
    ) -> None:
        pairs = [(group, user) for group, one in wanted.items() for user in one.users if user in known]
        added = await import_store.add_members(work.connection, work.tenant, pairs)
        outcome.done += sum(map(len, added.values()))
        outcome.skipped += len(pairs) - sum(map(len, added.values()))
        changed = []
        for group_id, one in wanted.items():
            nested = await _nest(work, outcome, group_id, one.groups) if one.groups else []
            change = MemberChange(Members(added.get(group_id, ()), nested))
            if change:
                group, events = group_domain.change(groups[group_id], groups[group_id].attributes, change, work.now())
                work.publish(events)
                changed.append(group)
        if changed:
            await group_store.touch_groups(work.connection, work.tenant, changed)


async def _nest(
    work: UnitOfWork, outcome: SetOutcome, group_id: UUID, children: Mapping[NestedGroup, Edge]
) -> list[NestedGroup]:
    """Add groups to a group; one that would close a cycle is reported, and the others are added."""
    connection, tenant = work.connection, work.tenant
    names = await group_store.names_of(connection, tenant, [one.id for one in children])
    valid = []
    for nested, edge in children.items():
        if nested.id not in names:
            outcome.fail(edge.line, GONE, edge.member.text)
            continue
        try:
            await require_valid_nesting(connection, tenant, group_id, Members(groups=[nested]))
        except ScimError as error:
            outcome.fail(edge.line, error.detail, edge.member.text)
            continue
        valid.append(NestedGroup(nested.id, names[nested.id]))
    added = await member_store.add_groups(connection, tenant, group_id, valid)
    outcome.done += len(added)
    outcome.skipped += len(valid) - len(added)
    return added


def _fail(outcome: SetOutcome, wanted: Wanted, reason: str) -> None:
    for edge in (*wanted.users.values(), *wanted.groups.values()):
        outcome.fail(edge.line, reason, edge.member.text)
