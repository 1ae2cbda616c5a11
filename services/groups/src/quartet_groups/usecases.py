"""Use cases: one function per command; each opens the one transaction of its command."""

from collections.abc import Sequence
from uuid import UUID

from quartet_common.container import AppContainer
from quartet_common.database import Connection
from quartet_common.ids import new_id
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import Caller, DomainEvent
from quartet_groups import domain, store
from quartet_groups.clients import UserDirectory
from quartet_groups.config import GroupsConfig
from quartet_groups.domain import Group, MemberChange, MemberOrders
from quartet_scim.errors import invalid_value, not_found
from quartet_scim.patch import Operation, PatchEngine
from quartet_scim.preconditions import ANY_VERSION, IfMatch
from quartet_scim.resource import Attributes

Container = AppContainer[GroupsConfig]

MAX_NAMED = 3


async def create_group(
    container: Container, directory: UserDirectory, caller: Caller, attributes: Attributes, members: Sequence[UUID]
) -> UUID:
    """Create a group and return its id. Raises ScimError 400 for an unknown member, UnavailableError 503."""
    await _resolve(container, directory, caller, members)
    group, told = domain.create(new_id(), attributes, members, container.clock())
    async with container.database.transaction() as connection:
        await _require_known(connection, caller.tenant, members)
        await store.insert_group(connection, caller.tenant, group)
        await store.add_members(connection, caller.tenant, group.id, members)
        await _tell(container, connection, caller, told)
    return group.id


async def replace_group(
    container: Container,
    directory: UserDirectory,
    caller: Caller,
    group_id: UUID,
    attributes: Attributes,
    members: Sequence[UUID],
    if_match: IfMatch = ANY_VERSION,
) -> None:
    """Put `attributes` and `members` in the place of what the group had (RFC 7644 section 3.5.1).

    Raises ScimError 404, 412, 400 for an unknown member, UnavailableError 503.
    """
    await _resolve(container, directory, caller, members, group_id)
    async with container.database.transaction() as connection:
        # users before groups, as the handler of user deletions locks them: no deadlock
        await _require_known(connection, caller.tenant, members)
        before = await _lock(connection, caller.tenant, group_id, if_match)
        change = MemberChange(
            removed=await store.keep_members(connection, caller.tenant, group_id, members),
            added=await store.add_members(connection, caller.tenant, group_id, members),
        )
        group, told = domain.change(before, attributes, change, container.clock())
        if told:
            await store.update_group(connection, caller.tenant, group)
        await _tell(container, connection, caller, told)


async def patch_group(
    container: Container,
    directory: UserDirectory,
    engine: PatchEngine,
    caller: Caller,
    group_id: UUID,
    orders: MemberOrders,
    operations: Sequence[Operation],
    if_match: IfMatch = ANY_VERSION,
) -> None:
    """Change members by `orders` and the rest by `operations`, all or none (RFC 7644 section 3.5.2).

    What it costs grows with what changes, not with the group. Raises ScimError 400, 404, 412, UnavailableError 503.
    """
    await _resolve(container, directory, caller, orders.added, group_id)
    async with container.database.transaction() as connection:
        await _require_known(connection, caller.tenant, orders.added)
        before = await _lock(connection, caller.tenant, group_id, if_match)
        patched = engine.apply(before.attributes, operations)
        change = await _carry_out(connection, caller.tenant, group_id, orders)
        group, told = domain.change(before, patched.attributes, change, container.clock())
        if told:
            await store.update_group(connection, caller.tenant, group)
        await _tell(container, connection, caller, told)


async def _carry_out(connection: Connection, tenant: str, group_id: UUID, orders: MemberOrders) -> MemberChange:
    removed: Sequence[UUID] = ()
    if orders.replaces_all:
        removed = await store.keep_members(connection, tenant, group_id, orders.added)
    elif orders.removed:
        removed = await store.remove_members(connection, tenant, group_id, orders.removed)
    added = await store.add_members(connection, tenant, group_id, orders.added) if orders.added else ()
    return MemberChange(added, removed)


async def delete_group(container: Container, caller: Caller, group_id: UUID, if_match: IfMatch = ANY_VERSION) -> None:
    """Remove a group. Raises ScimError 404, 412."""
    async with container.database.transaction() as connection:
        group = await _lock(connection, caller.tenant, group_id, if_match)
        members = await store.member_ids(connection, caller.tenant, group_id)
        await store.delete_group(connection, caller.tenant, group_id)
        await _tell(container, connection, caller, domain.delete(group, members, container.clock()))


async def _lock(connection: Connection, tenant: str, group_id: UUID, if_match: IfMatch) -> Group:
    group = await store.lock_group(connection, tenant, group_id)
    if group is None:
        raise not_found()
    if_match.demand(group.version)
    return group


async def _resolve(
    container: Container,
    directory: UserDirectory,
    caller: Caller,
    members: Sequence[UUID],
    group_id: UUID | None = None,
) -> None:
    """Ask users for members that no event has told of; outside the transaction, which must not wait for others.

    Raises ScimError 404 if `group_id` is nobody's: of a group that is not there, nothing else is said.
    """
    if not members:
        return
    async with container.database.connection() as connection:
        if group_id is not None and not await store.has_group(connection, caller.tenant, group_id):
            raise not_found()
        known = await store.known_ids(connection, caller.tenant, members)
    unknown = [one for one in members if one not in known]
    if not unknown:
        return
    found = await directory.lookup(caller, unknown)
    if found:
        learnt = [(user.id, user.display_name or "", user.version, False) for user in found]
        async with container.database.transaction() as connection:
            await store.learn_users(connection, caller.tenant, learnt)


async def _require_known(connection: Connection, tenant: str, members: Sequence[UUID]) -> None:
    """Raise ScimError 400 naming members that are no users; hold the others until the transaction ends."""
    if not members:
        return
    known = await store.lock_known(connection, tenant, members)
    unknown = [str(one) for one in members if one not in known]
    if unknown:
        more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
        raise invalid_value(f"members: no user has the id {', '.join(unknown[:MAX_NAMED])}{more}.")


async def _tell(container: Container, connection: Connection, caller: Caller, told: Sequence[DomainEvent]) -> None:
    await outbox.add(connection, caller, told, now=container.clock(), service=container.config.service)
