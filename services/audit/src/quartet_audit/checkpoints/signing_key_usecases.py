"""Use cases of signing keys: which there are, those that sign now, and a rotation; each opens its one transaction."""

from dataclasses import replace
from datetime import datetime

from quartet_audit.checkpoints import signing_key_store
from quartet_audit.checkpoints.checkpoint_domain import Signers
from quartet_audit.checkpoints.signing_key_domain import TYPES, KeyPeriod, PrivateKey, generate, load, replaced, signers
from quartet_audit.checkpoints.signing_key_events import key_rotated
from quartet_audit.config import AuditConfig
from quartet_common.auth.sealing import Sealer
from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work

Container = AppContainer[AuditConfig]


class SigningKeys:
    """The private keys of this installation; a process decrypts each of them once."""

    def __init__(self, master_key: str) -> None:
        self._sealer = Sealer(master_key)
        self._opened: dict[str, PrivateKey] = {}

    async def read_signers(self, connection: Connection, now: datetime) -> Signers:
        """The keys that sign `now`; makes the first ones of the installation. Raises WrongMasterKeyError."""
        found = await signing_key_store.read_keys(connection)
        if not found:
            await signing_key_store.lock_keys(connection)
            found = await signing_key_store.read_keys(connection)
        if not found:
            await self.make(connection, now)
            found = await signing_key_store.read_keys(connection)
        return signers([(period, self._open(period, sealed)) for period, sealed in found if period.signs_at(now)], now)

    async def make(self, connection: Connection, now: datetime) -> list[KeyPeriod]:
        """Store a new key of each type, which signs from `now` on."""
        made = []
        for type_ in TYPES:
            key = generate(type_)
            period = KeyPeriod(new_id().hex, type_, key.public_key().public_bytes_raw(), now)
            await signing_key_store.insert_key(connection, period, self._sealer.seal(key.private_bytes_raw()))
            made.append(period)
        return made

    def _open(self, period: KeyPeriod, sealed: str) -> PrivateKey:
        if period.id not in self._opened:
            self._opened[period.id] = load(period.type, self._sealer.open(period.id, sealed))
        return self._opened[period.id]


async def require_keys(container: Container, keys: SigningKeys) -> None:
    """Make or read the signing keys. Raises WrongMasterKeyError."""
    async with container.database.transaction() as connection:
        await keys.read_signers(connection, container.clock())


async def list_keys(container: Container) -> list[KeyPeriod]:
    """All keys, the newest first."""
    async with container.database.connection() as connection:
        return await signing_key_store.read_periods(connection)


async def rotate(container: Container, keys: SigningKeys, caller: Caller, *, at_once: bool = False) -> list[KeyPeriod]:
    """Have new keys sign from now on; those that they replace sign too for OVERLAP, or no more `at_once`.

    Returns all keys, the newest first.
    """
    platform = replace(caller, tenant=SYSTEM_TENANT)
    async with unit_of_work(container, platform) as work:
        await signing_key_store.lock_keys(work.connection)
        now = container.clock()
        ended = replaced(await signing_key_store.read_periods(work.connection), now, at_once=at_once)
        await signing_key_store.end_periods(work.connection, ended)
        made = await keys.make(work.connection, now)
        work.publish([key_rotated(key, ended) for key in made])
        return await signing_key_store.read_periods(work.connection)
