"""Joining: who may become a member; asked of groups, known users and the users service, and held until it is done."""

from collections.abc import Sequence
from uuid import UUID

from quartet_common.container import AppContainer
from quartet_common.database import Connection
from quartet_common.messaging.outbox import Caller
from quartet_groups import graph_store, store
from quartet_groups.clients import UserDirectory
from quartet_groups.config import GroupsConfig
from quartet_groups.members import Kind, Members, SentMember, tell_apart
from quartet_groups.nesting import check_nesting
from quartet_scim.errors import not_found


async def ask_for_unheard(
    container: AppContainer[GroupsConfig],
    directory: UserDirectory,
    caller: Caller,
    sent: Sequence[SentMember],
    group_id: UUID | None = None,
) -> None:
    """Ask users for ids that no event has told of; outside the transaction, which must not wait for others.

    Raises ScimError 404 if `group_id` is nobody's: of a group that is not there, nothing else is said.
    UnavailableError 503.
    """
    if not sent:
        return
    async with container.database.connection() as connection:
        unheard = await store.unheard_ids(connection, caller.tenant, [one.id for one in sent], group_id)
    if not unheard.group_is_there:
        raise not_found()
    groups = {one.id for one in sent if one.kind is Kind.GROUP} if unheard.ids else set()
    found = (
        await directory.lookup(caller, asked) if (asked := [one for one in unheard.ids if one not in groups]) else []
    )
    if found:
        learnt = [(user.id, user.display_name or user.user_name, user.version, False) for user in found]
        async with container.database.transaction() as connection:
            await store.learn_users(connection, caller.tenant, learnt)


async def hold(connection: Connection, tenant: str, sent: Sequence[SentMember]) -> Members:
    """Those who are to become members, by what they are; they cannot be deleted before the transaction ends.

    Locks users, and then the graph if there are groups among them. Comes before the lock of the group that they join.
    Raises ScimError 400 for whom nobody knows, and for who is something else than its type says.
    """
    if not sent:
        return Members()
    users = await store.lock_known(connection, tenant, [one.id for one in sent if one.kind is not Kind.GROUP])
    others = [one.id for one in sent if one.id not in users]
    if not others:
        return Members([one.id for one in sent])
    await graph_store.lock(connection, tenant)
    groups = await store.names_of(connection, tenant, others)
    if len(groups) < len(others):  # it fails, and the rest is to say why
        users |= await store.lock_known(connection, tenant, others)
    return Members(*tell_apart(sent, users, groups))


async def demand_place(connection: Connection, tenant: str, group_id: UUID, joining: Members) -> None:
    """Raise ScimError 400 if groups among `joining` would close a cycle or nest too deep; the graph must be locked."""
    if joining.groups:
        children = [one.id for one in joining.groups]
        around = await graph_store.read_surroundings(connection, tenant, group_id, children)
        check_nesting(group_id, joining.groups, around)
