"""Use cases: one function per command; each opens the one transaction of its command."""

from collections.abc import Sequence
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import new_id
from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.runtime.container import AppContainer
from quartet_groups import graph_store, group_domain, group_store, member_store
from quartet_groups.config import GroupsConfig
from quartet_groups.events import EVENTS_AT_ONCE, NestedGroup
from quartet_groups.group_domain import Group
from quartet_groups.group_store import NO_MEMBERS, StoredGroup
from quartet_groups.member_domain import NOBODY, MemberChange, MemberOrders, Members, SentMember
from quartet_groups.member_resolution import Attempt, demand_place, with_members
from quartet_groups.users_client import UserDirectory
from quartet_scim.errors import not_found
from quartet_scim.patch import Operation, PatchEngine
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
    """Create a group, with an id that was made before if it is given, and return its id.

    Raises ScimError 400 for an unknown member, UnavailableError 503.
    """
    made = group_id or new_id()

    async def command(connection: Connection, attempt: Attempt) -> None:
        joining = await attempt.hold(connection, members, None)
        group, told = group_domain.create(made, attributes, joining, container.clock())
        await group_store.insert_group(connection, caller.tenant, group)
        await _add(connection, caller.tenant, made, joining)
        await _tell(container, connection, caller, told)

    await with_members(container, directory, caller, command)
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
    """Put `attributes` and `members` in the place of what the group had (RFC 7644 section 3.5.1).

    Returns the group's version. Raises ScimError 404, 412, 400 for an unknown member, MissingScopesError 403,
    UnavailableError 503.
    """

    async def command(connection: Connection, attempt: Attempt) -> int:
        # users, graph, groups: everybody locks in this order, so nobody blocks another for ever
        joining = await attempt.hold(connection, members, group_id)
        before = await _lock(connection, caller.tenant, group_id, if_match)
        kept = [one.id for one in members]
        removed = await member_store.keep_members(connection, caller.tenant, group_id, kept)
        change = MemberChange(await _add(connection, caller.tenant, group_id, joining), removed)
        if change:
            await attempt.demand_rights(connection, group_id)
        group, told = group_domain.change(before, attributes, change, container.clock())
        if told:
            await group_store.update_group(connection, caller.tenant, group)
            await _tell(container, connection, caller, told)
        return group.version

    return await with_members(container, directory, caller, command)


async def patch_group(
    container: Container,
    directory: UserDirectory,
    engine: PatchEngine,
    caller: Caller,
    group_id: UUID,
    orders: MemberOrders,
    operations: Sequence[Operation],
    if_match: IfMatch = ANY_VERSION,
    members: str = NO_MEMBERS,
) -> tuple[int, StoredGroup | None]:
    """Change members by `orders` and the rest by `operations`, all or none (RFC 7644 section 3.5.2).

    What it costs grows with what changes, not with the group. Returns the group's version, and the group if it changed;
    `members` is the SQL of their column (`MemberTexts`). Raises ScimError 400, 404, 412, MissingScopesError 403,
    UnavailableError 503.
    """

    async def command(connection: Connection, attempt: Attempt) -> tuple[int, StoredGroup | None]:
        joining = await attempt.hold(connection, orders.added, group_id)
        before = await _lock(connection, caller.tenant, group_id, if_match)
        patched = engine.apply(before.attributes, operations)
        change = await _carry_out(connection, caller.tenant, group_id, orders, joining)
        if change:
            await attempt.demand_rights(connection, group_id)
        group, told = group_domain.change(before, patched.attributes, change, container.clock())
        if not told:
            return group.version, None
        await _tell(container, connection, caller, told)
        return group.version, await group_store.update_group(connection, caller.tenant, group, members)

    return await with_members(container, directory, caller, command)


async def _carry_out(
    connection: Connection, tenant: str, group_id: UUID, orders: MemberOrders, joining: Members
) -> MemberChange:
    removed = NOBODY
    if orders.replaces_all:
        kept = [one.id for one in orders.added]
        removed = await member_store.keep_members(connection, tenant, group_id, kept)
    elif orders.removed:
        removed = await member_store.remove_members(connection, tenant, group_id, orders.removed)
    return MemberChange(await _add(connection, tenant, group_id, joining), removed)


async def _add(connection: Connection, tenant: str, group_id: UUID, joining: Members) -> Members:
    """Let in who is no member yet; the group's row must be locked. Raises ScimError 400 for a cycle of groups."""
    await demand_place(connection, tenant, group_id, joining)
    users = await member_store.add_users(connection, tenant, group_id, joining.users) if joining.users else ()
    nested = await member_store.add_groups(connection, tenant, group_id, joining.groups) if joining.groups else ()
    return Members(users, nested)


async def delete_group(
    container: Container,
    directory: UserDirectory,
    caller: Caller,
    group_id: UUID,
    if_match: IfMatch = ANY_VERSION,
) -> None:
    """Remove a group, from the groups that it is a member of too.

    Raises ScimError 404, 412, MissingScopesError 403, UnavailableError 503.
    """
    tenant, now = caller.tenant, container.clock()

    async def command(connection: Connection, attempt: Attempt) -> None:
        await graph_store.lock(connection, tenant)  # nobody can nest it meanwhile
        around = await member_store.parents_of(connection, tenant, group_id)
        locked = {group.id: group for group in await group_store.lock_groups(connection, tenant, [group_id, *around])}
        group = locked.get(group_id)
        if group is None:
            raise not_found()
        if_match.demand(group.version)
        await attempt.demand_rights(connection, group_id)
        await group_store.hold_total(connection, tenant)  # before the version, as who creates a group comes to them
        told = []
        nested = NestedGroup(group.id, group.display_name)
        parents = await member_store.leave_parents(connection, tenant, group_id)
        for parent in parents:
            locked[parent], lost = group_domain.lose_nested(locked[parent], nested, now)
            told += lost
        members = await member_store.members_of(connection, tenant, group_id)
        await group_store.delete_group(connection, tenant, group_id)
        await _tell(container, connection, caller, [*told, *group_domain.delete(group, members, now)])
        await group_store.touch_groups(connection, tenant, [locked[parent] for parent in parents])

    await with_members(container, directory, caller, command)


async def _lock(connection: Connection, tenant: str, group_id: UUID, if_match: IfMatch) -> Group:
    group = await group_store.lock_group(connection, tenant, group_id)
    if group is None:
        raise not_found()
    if_match.demand(group.version)
    return group


async def _tell(container: Container, connection: Connection, caller: Caller, told: Sequence[DomainEvent]) -> None:
    for some in slices(told, EVENTS_AT_ONCE):
        await outbox.add(connection, caller, some, now=container.clock(), service=container.config.service)
