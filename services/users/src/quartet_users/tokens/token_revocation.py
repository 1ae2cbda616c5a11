"""Revocations: ends tokens before they expire, in the transaction of what ended them, and tells every service."""

from collections.abc import Sequence
from functools import partial

from quartet_common.auth import revocation_store
from quartet_common.auth.revocations import Revocation
from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.data.database import after_commit
from quartet_common.messaging import outbox
from quartet_common.runtime.container import AppContainer
from quartet_users.config import UsersConfig
from quartet_users.tokens import token_events


async def revoke(
    container: AppContainer[UsersConfig], connection: Connection, caller: Caller, revocations: Sequence[Revocation]
) -> None:
    """Have the tokens that `revocations` point at refused: in this process from the commit on, in the other apis of
    this service within half a second, in the other services as soon as they receive the event.

    `connection` must be in a transaction of `Database.transaction`. Callers do nothing else about it.
    """
    await revocation_store.keep(connection, revocations)
    after_commit(partial(container.revocations.add, tuple(revocations)))
    told = [token_events.token_revoked(one) for one in revocations]
    await outbox.add(connection, caller, told, now=container.clock(), service=container.config.service)
