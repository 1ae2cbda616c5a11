"""The origin list: the origins of the installation and of its tenants in the memory of an api."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import asyncpg

from quartet_common.auth.origin_store import READ
from quartet_common.core.offload import slices
from quartet_common.data.database import Database

ANY = "*"
"""In the installation's list: every origin."""
AT_ONCE = 1000
"""Tenants that are loaded at a time, before other tasks run."""
MAX_LENGTH = 300
"""Characters of a longest origin that a tenant can have, and some more."""
WITH_SUBDOMAIN = re.compile(r"https://(?:[a-z0-9_-]+\.)+[a-z0-9_-]+(?::[0-9]{1,5})?")


class OriginList:
    """Which origins may read which responses; tenants' origins are loaded repeatedly by `refresh`.

    An origin is compared whole. `https://*.example.com` of a tenant matches subdomains at any depth, as in a Content
    Security Policy (CSP3 section 6.7.2.8), and not `https://example.com`.
    """

    def __init__(self, database: Callable[[], Database], everywhere: Sequence[str] = ()) -> None:
        """`everywhere`: origins that may read every response."""
        self._database = database
        self._everywhere = frozenset(everywhere)
        self._of_tenant: dict[str, frozenset[str]] = {}
        self._tenants: Counter[str] = Counter()
        """The number of tenants that have an origin."""
        self._horizon = "0"

    def allowed(self, origin: str, tenant: str | None) -> str | None:
        """The Access-Control-Allow-Origin of a response to `origin`; None if its pages must not read the response.

        `tenant` is that of the token. Without one, an origin of any tenant is allowed: which tenant has it makes no
        difference, also not to the time.
        """
        if ANY in self._everywhere:
            return ANY
        if not origin or len(origin) > MAX_LENGTH:
            return None
        known = self._tenants if tenant is None else self._of_tenant.get(tenant, frozenset())
        return origin if origin in self._everywhere or any(one in known for one in _forms(origin)) else None

    async def refresh(self) -> None:
        """Load the origins that tenants have changed. Raises UnavailableError."""
        rows = await self._read(self._horizon)
        if int(rows[0]["horizon"]) < int(self._horizon):  # a restored database: load everything again
            rows = await self._read("0")
            self._of_tenant.clear()
            self._tenants.clear()
        for some in slices(rows, AT_ONCE):
            for row in some:
                if row["tenant_id"] is not None:
                    self._set(row["tenant_id"], frozenset(row["origins"]))
            await asyncio.sleep(0)
        self._horizon = str(rows[0]["horizon"])

    async def _read(self, horizon: str) -> list[asyncpg.Record]:
        async with self._database().connection() as connection:
            return list(await connection.fetch(READ, horizon))

    def _set(self, tenant: str, origins: frozenset[str]) -> None:
        before = self._of_tenant.pop(tenant, frozenset())
        if origins:
            self._of_tenant[tenant] = origins
        self._tenants.update(origins - before)
        for one in before - origins:
            self._tenants[one] -= 1
            if not self._tenants[one]:
                del self._tenants[one]


def _forms(origin: str) -> Iterator[str]:
    """`origin`, and the forms with a `*` that match it."""
    yield origin
    if WITH_SUBDOMAIN.fullmatch(origin):
        rest = origin.removeprefix("https://")
        while "." in rest:
            rest = rest.partition(".")[2]
            yield f"https://*.{rest}"
