"""The keys of the digests that stand for ids of applications: of each tenant one, encrypted by the master key."""

import os
from dataclasses import replace
from functools import lru_cache

from quartet_audit.config import AuditConfig
from quartet_audit.entries import digest_key_store
from quartet_audit.entries.digest_domain import KEY_BYTES, recorded_id
from quartet_audit.entries.entry_domain import Search
from quartet_common.auth.sealing import Sealer
from quartet_common.core.identifiers import parse_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer

MAX_OPENED = 1000
"""Keys that a process keeps decrypted."""


class DigestKeys:
    """Reads the keys of tenants, and makes them."""

    def __init__(self, master_key: str) -> None:
        self._sealer = Sealer(master_key)
        self._open = lru_cache(MAX_OPENED)(self._unseal)

    @classmethod
    def of(cls, container: AppContainer[AuditConfig]) -> "DigestKeys":
        """Those that the process uses."""
        return container.shared(cls, lambda: cls(container.config.master_key.get_secret_value()))

    async def require(self, connection: Connection, tenant: str) -> bytes:
        """The key of a tenant, which is made if it has none. Raises WrongMasterKeyError."""
        sealed = await digest_key_store.get_key(connection, tenant)
        if sealed is None:
            await self.add(connection, tenant, os.urandom(KEY_BYTES))
            sealed = await digest_key_store.get_key(connection, tenant)
        if sealed is None:
            raise AssertionError("the key was added just now, here or in another transaction")
        return self._open(tenant, sealed)

    async def add(self, connection: Connection, tenant: str, key: bytes) -> None:
        """Store the key of a tenant, unless it has one."""
        await digest_key_store.add_key(connection, tenant, self._sealer.seal(key))

    async def complete(self, connection: Connection, tenant: str, search: Search) -> Search:
        """`search` with the digest by which the log of `tenant` may know the resource. Raises WrongMasterKeyError."""
        if search.resource is None or parse_id(search.resource) is not None:
            return search
        sealed = await digest_key_store.get_key(connection, tenant)
        if sealed is None:
            return search
        digest = recorded_id(search.resource, self._open(tenant, sealed))
        return replace(search, recorded_ids=(*search.recorded_ids, digest))

    def _unseal(self, tenant: str, sealed: str) -> bytes:
        return self._sealer.open(f"of the digests of tenant {tenant}", sealed)
