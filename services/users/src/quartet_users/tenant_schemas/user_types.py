"""The compiled User resource types of tenants, in a cache."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cachetools import LRUCache

from quartet_common.data.database import Database
from quartet_scim.compiled_type import CompiledType
from quartet_scim.schema import user_resource_type
from quartet_scim.urn_references import has_unknown
from quartet_users.tenant_schemas import schema_store

FRESH = 2.0
"""Seconds for which a cached type is used without a check for changes by other processes."""
KEPT = 500
"""The number of cached types (LRU). One with schemas of its own takes about 0.5 MiB."""


@dataclass(slots=True)
class Kept:
    """A tenant's type, the version of its schemas, and when that version was last checked."""

    compiled: CompiledType
    version: int
    seen_at: float
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class UserTypes:
    """The User type of each tenant. Changes by other processes are seen after FRESH seconds, or at once if a request
    names an unknown URN: values of a schema that was just registered are never dropped.
    """

    def __init__(self, database: Callable[[], Database], now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._now = now
        self._common = CompiledType.of(user_resource_type())
        self._kept: LRUCache[str, Kept] = LRUCache(KEPT)

    async def of(self, tenant: str, mentioned: Iterable[str] = ()) -> CompiledType:
        """The User type of `tenant`. `mentioned` are the URNs in the request (`quartet_scim.urn_references`)."""
        kept = self._find(tenant)
        if self._now() - kept.seen_at > FRESH or has_unknown(kept.compiled.resource_type, mentioned):
            await self._renew(tenant, kept)
        return kept.compiled

    async def current(self, tenant: str) -> CompiledType:
        """The User type of `tenant` after a check for changes."""
        kept = self._find(tenant)
        await self._renew(tenant, kept)
        return kept.compiled

    def forget(self, tenant: str) -> None:
        """Drop the cached type of `tenant`, since its schemas were changed."""
        self._kept.pop(tenant, None)

    def _find(self, tenant: str) -> Kept:
        kept = self._kept.get(tenant)
        if kept is None:
            kept = self._kept[tenant] = Kept(self._common, 0, float("-inf"))
        return kept

    async def _renew(self, tenant: str, kept: Kept) -> None:
        """Check for changes. One check at a time for a tenant; it serves all requests that came before it began."""
        wanted_at = self._now()
        async with kept.looking:
            if kept.seen_at <= wanted_at:
                await self._look(tenant, kept)

    async def _look(self, tenant: str, kept: Kept) -> None:
        asked_at = self._now()
        async with self._database().connection() as connection:
            version = await schema_store.read_version(connection, tenant)
            if version != kept.version:
                schemas = await schema_store.read_schemas(connection, tenant)
                kept.compiled = CompiledType.of(user_resource_type(*schemas)) if schemas else self._common
                # read before the schemas: the next check finds a change in between
                kept.version = version
        kept.seen_at = asked_at
