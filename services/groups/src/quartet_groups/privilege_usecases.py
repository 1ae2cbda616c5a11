"""Privileges: a caller needs every scope that a group gives by roles to change its members."""

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import TypeVar
from uuid import UUID

from quartet_common.auth.scopes import missing_scopes
from quartet_common.core.caller import Caller
from quartet_common.core.errors import MissingScopesError
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, run_unit_of_work
from quartet_groups import privilege_store
from quartet_groups.config import GroupsConfig
from quartet_groups.users_client import UserDirectory

T = TypeVar("T")


class UncheckedGroupsError(Exception):
    """Marked groups for which the users service has not been asked yet."""

    def __init__(self, groups: frozenset[UUID]) -> None:
        super().__init__(groups)
        self.groups = groups


async def require_checked(connection: Connection, tenant: str, group_id: UUID, checked: frozenset[UUID]) -> None:
    """Raise UncheckedGroupsError if the group or one above it is marked and not among the `checked` ones."""
    marked = await privilege_store.marked_above(connection, tenant, group_id)
    if not marked <= checked:
        raise UncheckedGroupsError(marked - checked)


async def run_with_checked_groups(
    container: AppContainer[GroupsConfig],
    directory: UserDirectory,
    caller: Caller,
    command: Callable[[frozenset[UUID], UnitOfWork], Awaitable[T]],
) -> T:
    """Run `command` in a unit of work; its first argument are the groups whose scopes the caller is known to have. If
    it raises UncheckedGroupsError, ask the users service outside of the transaction and run it again.

    Raises MissingScopesError (403), UnavailableError (503), and what `run_unit_of_work` raises.
    """
    checked: frozenset[UUID] = frozenset()
    while True:
        try:
            return await run_unit_of_work(container, caller, partial(command, checked))
        except UncheckedGroupsError as error:
            unchecked = error.groups
        await require_scopes_of_groups(container, directory, caller, unchecked)
        checked |= unchecked


async def require_scopes_of_groups(
    container: AppContainer[GroupsConfig], directory: UserDirectory, caller: Caller, groups: Collection[UUID]
) -> None:
    """Ask the users service for the scopes of marked groups' roles and check that the caller has all of them.

    Runs outside of transactions. Raises MissingScopesError (403), UnavailableError (503).
    """
    held = await directory.scopes_of_groups(caller, groups)
    missing = missing_scopes(caller.scopes, held)
    if missing:
        raise MissingScopesError("The group, or a group above it,", missing)
    if not held:
        async with container.database.transaction() as connection:
            await privilege_store.unmark(connection, caller.tenant, groups)
