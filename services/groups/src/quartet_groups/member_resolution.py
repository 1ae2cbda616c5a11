"""Member resolution: finds the users and groups that a request adds to a group, and locks them."""

from collections.abc import Sequence
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_groups import graph_store, group_store
from quartet_groups.config import GroupsConfig
from quartet_groups.member_domain import Kind, Members, SentMember, split_by_kind
from quartet_groups.nesting_domain import check_nesting
from quartet_groups.users_client import UserDirectory
from quartet_scim.errors import not_found


async def resolve_members(
    container: AppContainer[GroupsConfig],
    directory: UserDirectory,
    caller: Caller,
    sent: Sequence[SentMember],
    group_id: UUID | None = None,
) -> None:
    """Look up those of `sent` that no event has named yet in the users service, with one call, and store them.

    Call it before the transaction, which must not wait for another service. Raises UnavailableError (503), and
    ScimError 404 if there are such members but no group `group_id`: a missing group has priority over other errors.
    """
    ids = [one.id for one in sent if one.kind is not Kind.GROUP]
    if not ids:
        return
    async with container.database.connection() as connection:
        unknown = set(ids) - await group_store.known_ids(connection, caller.tenant, ids)
        if unknown:
            unknown -= (await group_store.names_of(connection, caller.tenant, list(unknown))).keys()
        if not unknown:
            return
        await _require_group(connection, caller.tenant, group_id)
    found = await directory.lookup(caller, [one for one in ids if one in unknown])
    learnt = [(user.id, user.display_name or "", user.version, False) for user in found]
    if learnt:
        async with container.database.transaction() as connection:
            await group_store.upsert_users(connection, caller.tenant, learnt)


async def _require_group(connection: Connection, tenant: str, group_id: UUID | None) -> None:
    """Raise ScimError 404 if the tenant has no group `group_id`."""
    if group_id is not None and not await group_store.names_of(connection, tenant, [group_id]):
        raise not_found()


async def lock_members(
    connection: Connection, tenant: str, sent: Sequence[SentMember], group_id: UUID | None
) -> Members:
    """Lock the future members of a group (None for a new one) until the transaction ends, and return them by kind.

    Locks users, then the graph if there are groups among them. Call it before the lock of the group. Raises ScimError
    400 for unknown ids and for members of another kind than sent, 404 as `resolve_members` does.
    """
    if not sent:
        return Members()
    users = await group_store.lock_known(connection, tenant, [one.id for one in sent if one.kind is not Kind.GROUP])
    others = [one for one in sent if one.id not in users]
    if not others:
        return Members([one.id for one in sent])
    ids = [one.id for one in others]
    groups = await group_store.names_of(connection, tenant, ids)
    if len(groups) < len(ids):
        await _require_group(connection, tenant, group_id)
        users |= await group_store.lock_known(connection, tenant, ids)  # users sent as groups, or stored meanwhile
    if groups:
        await graph_store.lock(connection, tenant)
        groups = await group_store.names_of(connection, tenant, ids)  # one may have been deleted meanwhile
    return Members(*split_by_kind(sent, users, groups))


async def require_valid_nesting(connection: Connection, tenant: str, group_id: UUID, new_members: Members) -> None:
    """Raises ScimError 400 for a cycle of groups or too deep a nesting; the graph must be locked."""
    if new_members.groups:
        children = [one.id for one in new_members.groups]
        around = await graph_store.read_surroundings(connection, tenant, group_id, children)
        check_nesting(group_id, new_members.groups, around)
