"""Joining: who may become a member; asked of known users, groups and the users service, and held until it is done."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_groups import graph_store, group_store
from quartet_groups.config import GroupsConfig
from quartet_groups.member_domain import Kind, Members, SentMember, tell_apart
from quartet_groups.nesting_domain import check_nesting
from quartet_groups.privilege_usecases import UncheckedGroupsError, demand_checked, demand_scopes_of_groups
from quartet_groups.users_client import UserDirectory
from quartet_scim.errors import not_found

T = TypeVar("T")


class UnheardError(Exception):
    """Among those who are to become members are ids that nobody has told of; users may know them."""

    def __init__(self, ids: Sequence[UUID]) -> None:
        super().__init__(ids)
        self.ids = ids


@dataclass(frozen=True)
class Attempt:
    """One try of a command for `tenant`: what users has been asked before it."""

    tenant: str
    may_ask: bool = True
    checked: frozenset[UUID] = frozenset()

    async def hold(self, connection: Connection, sent: Sequence[SentMember], group_id: UUID | None) -> Members:
        """Find and lock those who are to become members of a group (None for a new one), as `hold` does."""
        return await hold(connection, self.tenant, sent, group_id, may_ask=self.may_ask)

    async def demand_rights(self, connection: Connection, group_id: UUID) -> None:
        """Call it where members of a group change. Raises UncheckedGroupsError: with_members asks users then."""
        await demand_checked(connection, self.tenant, group_id, self.checked)


async def with_members(
    container: AppContainer[GroupsConfig],
    directory: UserDirectory,
    caller: Caller,
    command: Callable[[Connection, Attempt], Awaitable[T]],
) -> T:
    """Carry out `command` in a transaction. If it meets ids that nobody has told of, or groups that may carry roles,
    ask users and carry it out again.

    Users is asked outside of any transaction, which must not wait for others. `command` is repeated too where
    `Database.run` does so. Raises MissingScopesError (403), UnavailableError (503), ContendedError (503).
    """
    attempt = Attempt(caller.tenant)
    while True:
        try:
            return await container.database.run(partial(_carry_out, command, attempt))
        except (UnheardError, UncheckedGroupsError) as error:
            met = error
        if isinstance(met, UnheardError):
            await _ask(container, directory, caller, met.ids)
            attempt = replace(attempt, may_ask=False)
        else:
            await demand_scopes_of_groups(container, directory, caller, met.groups)
            attempt = replace(attempt, checked=attempt.checked | met.groups)


async def _carry_out(
    command: Callable[[Connection, Attempt], Awaitable[T]], attempt: Attempt, connection: Connection
) -> T:
    return await command(connection, attempt)


async def ask_for_unheard(
    container: AppContainer[GroupsConfig], directory: UserDirectory, caller: Caller, sent: Sequence[SentMember]
) -> None:
    """Ask users once for all of `sent` of whom nobody has told, so that the commands that follow need not.

    Raises UnavailableError (503).
    """
    ids = [one.id for one in sent if one.kind is not Kind.GROUP]
    async with container.database.connection() as connection:
        known = await group_store.known_ids(connection, caller.tenant, ids)
        groups = await group_store.names_of(connection, caller.tenant, [one for one in ids if one not in known])
    unheard = [one for one in ids if one not in known and one not in groups]
    if unheard:
        await _ask(container, directory, caller, unheard)


async def _ask(
    container: AppContainer[GroupsConfig], directory: UserDirectory, caller: Caller, ids: Sequence[UUID]
) -> None:
    found = await directory.lookup(caller, ids)
    learnt = [(user.id, user.display_name or "", user.version, False) for user in found]
    if learnt:
        async with container.database.transaction() as connection:
            await group_store.learn_users(connection, caller.tenant, learnt)


async def hold(
    connection: Connection, tenant: str, sent: Sequence[SentMember], group_id: UUID | None, *, may_ask: bool
) -> Members:
    """Those who are to become members, by what they are; they cannot be deleted before the transaction ends.

    Locks users, and then the graph if there are groups among them. Comes before the lock of the group that they join.
    Raises ScimError 400 for whom nobody knows and for who is something else than its type says, 404 if `group_id` is
    nobody's (of a group that is not there, nothing else is said), and UnheardError if users `may_ask` be asked.
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
        if group_id is not None and not await group_store.names_of(connection, tenant, [group_id]):
            raise not_found()
        known = await group_store.known_ids(connection, tenant, ids)
        unheard = [one.id for one in others if one.kind is not Kind.GROUP and one.id not in known | groups.keys()]
        if unheard and may_ask:
            raise UnheardError(unheard)
        users |= await group_store.lock_known(connection, tenant, ids)  # some may have been told of meanwhile
    if groups:
        await graph_store.lock(connection, tenant)
        groups = await group_store.names_of(connection, tenant, ids)  # one may have been deleted meanwhile
    return Members(*tell_apart(sent, users, groups))


async def demand_place(connection: Connection, tenant: str, group_id: UUID, joining: Members) -> None:
    """Raise ScimError 400 if groups among `joining` would close a cycle or nest too deep; the graph must be locked."""
    if joining.groups:
        children = [one.id for one in joining.groups]
        around = await graph_store.read_surroundings(connection, tenant, group_id, children)
        check_nesting(group_id, joining.groups, around)
