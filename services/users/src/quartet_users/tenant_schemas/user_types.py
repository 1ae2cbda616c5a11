"""The User resource type of a tenant, compiled from its schemas and kept."""

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
"""Seconds for which a tenant's type is taken as it is; another process may have changed the schemas meanwhile."""
KEPT = 500
"""Tenants whose type is kept: those that were asked for last. One with schemas of its own takes about half a MiB."""


@dataclass(slots=True)
class Kept:
    """A tenant's type, the version of the schemas that it is of, and when that was found to be the last."""

    compiled: CompiledType
    version: int
    seen_at: float
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class UserTypes:
    """Gives each tenant its User type. What is new elsewhere is noticed at the latest after FRESH seconds, and at once
    where a request names what is not known: values under a schema that was registered a moment ago are never dropped.
    """

    def __init__(self, database: Callable[[], Database], now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._now = now
        self._common = CompiledType.of(user_resource_type())
        self._kept: LRUCache[str, Kept] = LRUCache(KEPT)

    async def of(self, tenant: str, mentioned: Iterable[str] = ()) -> CompiledType:
        """The User type of `tenant`. `mentioned` are URNs that the request names (`quartet_scim.urn_references`)."""
        kept = self._find(tenant)
        if self._now() - kept.seen_at > FRESH or has_unknown(kept.compiled.resource_type, mentioned):
            await self._renew(tenant, kept)
        return kept.compiled

    async def current(self, tenant: str) -> CompiledType:
        """The User type of `tenant` as it is now, whatever was seen a moment ago."""
        kept = self._find(tenant)
        await self._renew(tenant, kept)
        return kept.compiled

    def forget(self, tenant: str) -> None:
        """Have the schemas of `tenant` read again, since they were changed."""
        self._kept.pop(tenant, None)

    def _find(self, tenant: str) -> Kept:
        kept = self._kept.get(tenant)
        if kept is None:
            kept = self._kept[tenant] = Kept(self._common, 0, float("-inf"))
        return kept

    async def _renew(self, tenant: str, kept: Kept) -> None:
        """Look whether the schemas were changed: one look at a time, good for all who asked before it began."""
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
                # read before the schemas: if these were changed in between, the next look will see it
                kept.version = version
        kept.seen_at = asked_at
