"""Use cases of signing keys: what there are, another one, by command or by age; each opens its one transaction."""

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
"""Seconds between two looks of the worker whether a key is due, or over."""


async def list_keys(container: Container) -> list[KeyState]:
    """The keys, newest first."""
    async with container.database.connection() as connection:
        times = await key_store.read_times(connection)
    found = states(times, container.clock(), container.config.token_lifetime)
    return [one for one in found if one.state != "over"]


async def rotate(container: Container, keys: "KeyRing", caller: Caller, *, at_once: bool = False) -> list[KeyState]:
    """Have another key sign: one that is published now and signs when everybody has it, unless one is on its way.

    `at_once`: it signs now, and all others are withdrawn: no token that they have signed is believed any more,
    in this process from the commit on: `keys` is its ring. Returns the keys, newest first.
    """
    await _rotate(container, caller, at_once=at_once, by_age=False, keys=keys)
    return await list_keys(container)


async def rotate_by_age(container: Container) -> None:
    """Have another key sign if the one that does has done so for long enough; remove the keys that are over."""
    await _rotate(container, Caller(SYSTEM_TENANT, container.config.client_id), at_once=False, by_age=True)


async def _rotate(
    container: Container, caller: Caller, *, at_once: bool, by_age: bool, keys: "KeyRing | None" = None
) -> None:
    config, now = container.config, container.clock()
    platform = Caller(SYSTEM_TENANT, caller.actor, caller.source_address)
    async with unit_of_work(container, platform) as work:
        await key_store.lock_keys(work.connection)
        found = states(await key_store.read_times(work.connection), now, config.token_lifetime)
        await key_store.delete_keys(work.connection, [one.times.id for one in found if at_once or one.state == "over"])
        lifetime = timedelta(days=config.key_lifetime) if by_age else timedelta(0)
        if not at_once and not (found and is_due(found, now, lifetime)):
            return
        from quartet_users.tokens.key_ring import Vault  # only who makes a key pays for it

        signs_from = now if at_once else now + PUBLISHED_FIRST
        if keys is not None:
            after_commit(keys.look_again)
        made = await Vault(config.master_key.get_secret_value()).make(work.connection, now, signs_from)
        withdrawn = [one.times.id for one in found] if at_once else []
        work.publish([key_events.key_rotated(made.id, signs_from, withdrawn)])
