"""Use cases of groups: one function per command; each opens the one transaction of its command."""

from collections.abc import Sequence
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, run_unit_of_work
from quartet_groups import graph_store, group_domain, group_store, member_store
from quartet_groups.config import GroupsConfig
from quartet_groups.events import NestedGroup
from quartet_groups.group_domain import Group, GroupPatch
from quartet_groups.group_store import NO_MEMBERS, StoredGroup
from quartet_groups.member_domain import EMPTY, MemberChange, MemberOrders, Members, SentMember
from quartet_groups.member_resolution import lock_members, require_valid_nesting, resolve_members
from quartet_groups.privilege_usecases import require_checked, run_with_checked_groups
from quartet_groups.users_client import UserDirectory
from quartet_scim.errors import not_found
from quartet_scim.preconditions import ANY_VERSION, IfMatch
from quartet_scim.resource import Attributes

Container = AppContainer[GroupsConfig]


async def create_group(
    container: Container,
    directory: UserDirectory,
    caller: Caller,
    attributes: Attributes,
    members: Sequence[SentMember],
    group_id: UUID | None = None,
) -> UUID:
    """Create a group with `group_id` (None: a new id), and return its id.

    Raises ScimError 400 for an unknown member, UnavailableError 503.
    """
    made = group_id or new_id()
    await resolve_members(container, directory, caller, members)

    async def command(work: UnitOfWork) -> None:
        new_members = await lock_members(work.connection, work.tenant, members, None)
        group, events = group_domain.create(made, attributes, new_members, work.now())
        await group_store.insert_group(work.connection, work.tenant, group)
        await _add(work, made, new_members)
        work.publish(events)

    await run_unit_of_work(container, caller, command)
    return made


async def replace_group(
    container: Container,
    directory: UserDirectory,
    caller: Caller,
    group_id: UUID,
    attributes: Attributes,
    members: Sequence[SentMember],
    if_match: IfMatch = ANY_VERSION,
) -> int:
    """Replace the attributes and members of a group with `attributes` and `members` (RFC 7644 section 3.5.1).

    Returns the group's version. Raises ScimError 404, 412, 400 for an unknown member, MissingScopesError 403,
    UnavailableError 503.
    """
    await resolve_members(container, directory, caller, members, group_id)

    async def command(checked: frozenset[UUID], work: UnitOfWork) -> int:
        # the order of locks is users, graph, groups everywhere, which prevents deadlocks
        new_members = await lock_members(work.connection, work.tenant, members, group_id)
        before = await _lock(work.connection, work.tenant, group_id, if_match)
        kept = [one.id for one in members]
        removed = await member_store.keep_members(work.connection, work.tenant, group_id, kept)
        change = MemberChange(await _add(work, group_id, new_members), removed)
        if change:
            await require_checked(work.connection, work.tenant, group_id, checked)
        group, events = group_domain.change(before, attributes, change, work.now())
        if events:
            await group_store.update_group(work.connection, work.tenant, group)
            work.publish(events)
        return group.version

    return await run_with_checked_groups(container, directory, caller, command)


async def patch_group(
    container: Container,
    directory: UserDirectory,
    caller: Caller,
    group_id: UUID,
    patch: GroupPatch,
    if_match: IfMatch = ANY_VERSION,
    members: str = NO_MEMBERS,
) -> tuple[int, StoredGroup | None]:
    """Apply `patch`, all or none (RFC 7644 section 3.5.2).

    Its cost grows with the change, not with the group. Returns the group's version, and the group if it changed;
    `members` is the SQL of their column (`MemberTexts`). Raises ScimError 400, 404, 412, MissingScopesError 403,
    UnavailableError 503.
    """
    await resolve_members(container, directory, caller, patch.orders.added, group_id)

    async def command(checked: frozenset[UUID], work: UnitOfWork) -> tuple[int, StoredGroup | None]:
        new_members = await lock_members(work.connection, work.tenant, patch.orders.added, group_id)
        before = await _lock(work.connection, work.tenant, group_id, if_match)
        patched = patch.engine.apply(before.attributes, patch.operations)
        change = await _change_members(work, group_id, patch.orders, new_members)
        if change:
            await require_checked(work.connection, work.tenant, group_id, checked)
        group, events = group_domain.change(before, patched.attributes, change, work.now())
        if not events:
            return group.version, None
        work.publish(events)
        return group.version, await group_store.update_group(work.connection, work.tenant, group, members)

    return await run_with_checked_groups(container, directory, caller, command)


async def _change_members(work: UnitOfWork, group_id: UUID, orders: MemberOrders, new_members: Members) -> MemberChange:
    connection, tenant = work.connection, work.tenant
    removed = EMPTY
    if orders.replaces_all:
        kept = [one.id for one in orders.added]
        removed = await member_store.keep_members(connection, tenant, group_id, kept)
    elif orders.removed:
        removed = await member_store.remove_members(connection, tenant, group_id, orders.removed)
    return MemberChange(await _add(work, group_id, new_members), removed)


async def _add(work: UnitOfWork, group_id: UUID, new_members: Members) -> Members:
    """Add members that are not in the group yet, and return those. The group's row must be locked.

    Raises ScimError 400 for a cycle of groups.
    """
    connection, tenant = work.connection, work.tenant
    await require_valid_nesting(connection, tenant, group_id, new_members)
    users = await member_store.add_users(connection, tenant, group_id, new_members.users) if new_members.users else ()
    nested = (
        await member_store.add_groups(connection, tenant, group_id, new_members.groups) if new_members.groups else ()
    )
    return Members(users, nested)


async def delete_group(
    container: Container,
    directory: UserDirectory,
    caller: Caller,
    group_id: UUID,
    if_match: IfMatch = ANY_VERSION,
) -> None:
    """Delete a group, and remove it from the groups that have it as a member.

    Raises ScimError 404, 412, MissingScopesError 403, UnavailableError 503.
    """

    async def command(checked: frozenset[UUID], work: UnitOfWork) -> None:
        connection, tenant, now = work.connection, work.tenant, work.now()
        await graph_store.lock(connection, tenant)  # so that the group is not nested meanwhile
        around = await member_store.parents_of(connection, tenant, group_id)
        locked = {group.id: group for group in await group_store.lock_groups(connection, tenant, [group_id, *around])}
        group = locked.get(group_id)
        if group is None:
            raise not_found()
        if_match.require(group.version)
        await require_checked(connection, tenant, group_id, checked)
        await group_store.lock_total(connection, tenant)  # before the version: the order of locks of a new group
        nested = NestedGroup(group.id, group.display_name)
        parents = await member_store.leave_parents(connection, tenant, group_id)
        for parent in parents:
            locked[parent], events = group_domain.lose_nested(locked[parent], nested, now)
            work.publish(events)
        members = await member_store.members_of(connection, tenant, group_id)
        await group_store.delete_group(connection, tenant, group_id)
        work.publish(group_domain.delete(group, members, now))
        await group_store.touch_groups(connection, tenant, [locked[parent] for parent in parents])

    await run_with_checked_groups(container, directory, caller, command)


async def _lock(connection: Connection, tenant: str, group_id: UUID, if_match: IfMatch) -> Group:
    group = await group_store.lock_group(connection, tenant, group_id)
    if group is None:
        raise not_found()
    if_match.require(group.version)
    return group
