"""Refusals: turns 401, 403 and 429 answers into events, in bounded number."""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from quart import current_app, request

from quartet_common.auth.opaque_tokens import hide
from quartet_common.auth.principal import Principal
from quartet_common.core.caller import Caller
from quartet_common.core.clock import Clock
from quartet_common.core.errors import ISSUED_BY_US_REASONS
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.data.database import Database
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.event_aggregation import ANONYMOUS, MAX_KEYS, OTHERS, Summaries, Tally
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.web.guard import principal, source_address

MAX_PATH = 256
UNKNOWN = "unknown"
MAX_TENANTS = 50
"""Tenants that have room for themselves within one window."""
TENANT_PLACES = 20
"""Different kinds that one window tells apart of a tenant."""
FURTHER = "(further)"
"""The room of the tenants beyond MAX_TENANTS."""

EXTENSION = "quartet_refusals"
"""The name under which an app has its log."""


async def record_partial_refusal(scope: str) -> None:
    """Record that the running request was denied what of it needs `scope`; the rest of it goes on."""
    log: RefusalLog = current_app.extensions[EXTENSION]
    await log.forbidden(principal(), source_address(), request.method, request.path, scope)


class Request(NamedTuple):
    """The first request of its kind, without what in its path is secret."""

    method: str
    path: str


class Source(NamedTuple):
    """What is counted together: the same answer, for the same reason, to the same one at the same address; of 403 it is
    the same request too, and `reason` is the scope.
    """

    status: int
    tenant: str
    actor: str
    address: str
    reason: str
    asked: Request | None = None


class RefusalLog(Summaries[Source, Request]):
    """Records refused requests in the service's outbox.

    Anybody could cause any number of them, so they are counted per caller, address and reason and written once per
    window. The first 403 of each kind in a window is written at once, and only those after it are counted.

    Each tenant has room for itself, so that none hides another's; what has no valid token has rooms of its own, where
    tokens that are ours stand apart from those that anybody could make up. All of it has a bound: MAX_TENANTS
    rooms of TENANT_PLACES, and four of MAX_KEYS.
    """

    name = "refused requests"

    def __init__(self, service: str, database: Callable[[], Database], clock: Clock, window: float) -> None:
        super().__init__(service, database, clock, window)
        self._tenants: set[str] = set()
        self._told_at_once: dict[Hashable, set[Source]] = defaultdict(set)

    async def forbidden(self, who: Principal, address: str | None, method: str, path: str, scope: str) -> None:
        """Record that `who` lacked `scope`. When PostgreSQL is away it is told later."""
        asked = Request(method, hide(path)[:MAX_PATH])
        kind = Source(403, who.tenant, who.actor, address or UNKNOWN, scope, asked)
        if not self._is_first(kind) or not await self._write(
            Caller(who.tenant, who.actor, address), [self._event(kind, {}, asked)]
        ):
            self.add(kind, asked)

    def unauthenticated(self, address: str | None, reason: str, method: str, path: str) -> None:
        """Count a request that had no valid token."""
        source = Source(401, SYSTEM_TENANT, ANONYMOUS, address or UNKNOWN, reason)
        self.add(source, Request(method, hide(path)[:MAX_PATH]))

    def limited(self, who: Principal | None, address: str | None, limit: str, method: str, path: str) -> None:
        """Count a request that was one too many; `who` is the caller if it is known."""
        tenant, actor = (SYSTEM_TENANT, ANONYMOUS) if who is None else (who.tenant, who.actor)
        self.add(Source(429, tenant, actor, address or UNKNOWN, limit), Request(method, hide(path)[:MAX_PATH]))

    async def flush(self) -> None:
        """Write the summaries of the window that ends now; the next one has its own first ones, and all its room."""
        self._tenants.clear()
        self._told_at_once.clear()
        await super().flush()

    def room(self, kind: Source) -> Hashable:
        """The tenant, if it is known; those beyond MAX_TENANTS have one together, as has each kind of the unknown."""
        if kind.actor == ANONYMOUS:
            return kind.status, kind.reason in ISSUED_BY_US_REASONS
        if len(self._tenants) < MAX_TENANTS:
            self._tenants.add(kind.tenant)
        return kind.tenant if kind.tenant in self._tenants else FURTHER

    def places(self, room: Hashable) -> int:
        """Fewer for a tenant than for all that are unknown."""
        return TENANT_PLACES if isinstance(room, str) and room != FURTHER else MAX_KEYS

    def rest(self, kind: Source) -> Source:
        """The others with the same status: of the tenant, or of all that are unknown."""
        if kind.actor == ANONYMOUS or self.room(kind) == FURTHER:
            return Source(kind.status, SYSTEM_TENANT, ANONYMOUS, OTHERS, OTHERS)
        return Source(kind.status, kind.tenant, OTHERS, OTHERS, OTHERS)

    def told(self, kind: Source, tally: Tally[Request]) -> tuple[Caller, DomainEvent]:
        """`<service>.request.refused.v1` or `.limited.v1`."""
        return Caller(kind.tenant, kind.actor, kind.address), self._event(kind, tally.facts, tally.example)

    def _is_first(self, kind: Source) -> bool:
        """Whether there was none like it in this window, nor too many others."""
        room = self.room(kind)
        before = self._told_at_once[room]
        if kind in before or len(before) >= self.places(room):
            return False
        before.add(kind)
        return True

    def _event(self, kind: Source, facts: dict[str, object], asked: Request) -> DomainEvent:
        what = {
            401: {"reason": kind.reason},
            403: {"reason": "insufficient_scope", "scope": kind.reason},
            429: {"limit": kind.reason},
        }[kind.status]
        data = {"status": kind.status, **what, **facts, **asked._asdict()}
        event = f"{self._service}.request.{'limited' if kind.status == 429 else 'refused'}.v1"
        return DomainEvent(event, f"requests/{new_id()}", 1, data, DENIED)
