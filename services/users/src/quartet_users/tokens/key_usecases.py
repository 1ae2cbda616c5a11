"""Use cases of signing keys: list them, rotate by command or by age; each opens its one transaction."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.data.database import after_commit
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.tokens import key_events, key_store
from quartet_users.tokens.key_domain import PUBLISHED_FIRST, KeyState, is_due, states

if TYPE_CHECKING:
    from quartet_users.tokens.key_ring import KeyRing

Container = AppContainer[UsersConfig]

ROTATION_INTERVAL = 60.0
"""Seconds between two checks of the worker for keys to create or delete."""


async def list_keys(container: Container) -> list[KeyState]:
    """The keys in use, newest first."""
    async with container.database.connection() as connection:
        times = await key_store.read_times(connection)
    found = states(times, container.clock(), container.config.token_lifetime)
    return [one for one in found if one.state != "over"]


async def rotate(container: Container, keys: "KeyRing", caller: Caller, *, at_once: bool = False) -> list[KeyState]:
    """Create a key that is published now and signs after PUBLISHED_FIRST, unless there is a next one already.

    `at_once`: it signs now, and all others are withdrawn: their tokens are refused, by this process (whose ring is
    `keys`) from the commit on. Returns the keys, newest first.
    """
    await _rotate(container, caller, at_once=at_once, by_age=False, keys=keys)
    return await list_keys(container)


async def rotate_by_age(container: Container) -> None:
    """Create a key if the current one has signed for its lifetime; delete keys whose tokens have all expired."""
    await _rotate(container, Caller.service(SYSTEM_TENANT, container.config.client_id), at_once=False, by_age=True)


async def _rotate(
    container: Container, caller: Caller, *, at_once: bool, by_age: bool, keys: "KeyRing | None" = None
) -> None:
    config, now = container.config, container.clock()
    platform = replace(caller, tenant=SYSTEM_TENANT)
    async with unit_of_work(container, platform) as work:
        await key_store.lock_keys(work.connection)
        found = states(await key_store.read_times(work.connection), now, config.token_lifetime)
        await key_store.delete_keys(work.connection, [one.times.id for one in found if at_once or one.state == "over"])
        lifetime = timedelta(days=config.key_lifetime) if by_age else timedelta(0)
        if not at_once and not (found and is_due(found, now, lifetime)):
            return
        from quartet_users.tokens.key_ring import Vault  # the import is slow, and rarely needed in a worker

        signs_from = now if at_once else now + PUBLISHED_FIRST
        if keys is not None:
            after_commit(keys.invalidate)
        made = await Vault(config.master_key.get_secret_value()).make(work.connection, now, signs_from)
        withdrawn = [one.times.id for one in found] if at_once else []
        work.publish([key_events.key_rotated(made.id, signs_from, withdrawn)])
