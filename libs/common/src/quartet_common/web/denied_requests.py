"""Denied requests: makes a bounded number of events of 401, 403 and 429 responses."""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from quart import current_app, request

from quartet_common.auth.opaque_tokens import hide
from quartet_common.auth.principal import Principal
from quartet_common.core.caller import ANONYMOUS, Caller
from quartet_common.core.clock import Clock
from quartet_common.core.errors import ISSUED_BY_US_REASONS
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.data.database import Database
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.event_aggregation import MAX_KEYS, OTHERS, EventAggregator, Tally
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.web.guard import caller

MAX_PATH = 256
UNKNOWN = "unknown"
MAX_TENANTS = 50
"""Tenants that have a partition of their own within one window."""
TENANT_CAPACITY = 20
"""Kinds that are counted separately for a tenant within one window."""
FURTHER = "(further)"
"""The partition of the tenants beyond MAX_TENANTS."""

EXTENSION = "quartet_refusals"
"""The key of the log in `app.extensions`."""


async def record_partial_refusal(scope: str) -> None:
    """Record that an operation of the running request was denied for lack of `scope`; the request goes on."""
    log: DeniedRequestLog = current_app.extensions[EXTENSION]
    await log.forbidden(caller(), request.method, request.path, scope)


class Request(NamedTuple):
    """The first request of its kind; secrets in its path are hidden."""

    method: str
    path: str


class Source(NamedTuple):
    """The key of a count: status, caller, address and reason. For 403 also the request; `reason` is the scope then."""

    status: int
    tenant: str
    actor: str
    address: str
    reason: str
    asked: Request | None = None
    actor_name: str | None = None
    actor_type: str | None = None

    @property
    def caller(self) -> Caller:
        """The caller of all requests that are counted together: their user agents may differ."""
        return Caller(self.tenant, self.actor, self.address, actor_name=self.actor_name, actor_type=self.actor_type)


class DeniedRequestLog(EventAggregator[Source, Request]):
    """Records denied requests in the service's outbox.

    Clients can cause any number of them, so they are counted per caller, address and reason and written once per
    window. The first 403 of each kind in a window is written at once, and only those after it are counted.

    Each tenant has its own partition, so that none hides another's. Requests without a valid token have partitions
    of their own, where formerly valid tokens are separate from invented ones. All of it is bounded: MAX_TENANTS
    partitions of TENANT_CAPACITY, and four of MAX_KEYS.
    """

    name = "refused requests"

    def __init__(self, service: str, database: Callable[[], Database], clock: Clock, window: float) -> None:
        super().__init__(service, database, clock, window)
        self._tenants: set[str] = set()
        self._written_at_once: dict[Hashable, set[Source]] = defaultdict(set)

    async def forbidden(self, who: Caller, method: str, path: str, scope: str) -> None:
        """Record that `who` lacked `scope`. While PostgreSQL is unavailable it is counted for the next window."""
        asked = Request(method, hide(path)[:MAX_PATH])
        address = who.source_address or UNKNOWN
        kind = Source(403, who.tenant, who.actor, address, scope, asked, who.actor_name, who.actor_type)
        if not self._is_first(kind) or not await self._write(who, [self._event(kind, {}, asked)]):
            self.add(kind, asked)

    def unauthenticated(self, address: str | None, reason: str, method: str, path: str) -> None:
        """Count a request that had no valid token."""
        source = Source(401, SYSTEM_TENANT, ANONYMOUS, address or UNKNOWN, reason, actor_type=ANONYMOUS)
        self.add(source, Request(method, hide(path)[:MAX_PATH]))

    def limited(self, who: Principal | None, address: str | None, limit: str, method: str, path: str) -> None:
        """Count a request that exceeded a limit; `who` is the caller if it is known."""
        kind = Source(429, SYSTEM_TENANT, ANONYMOUS, address or UNKNOWN, limit, actor_type=ANONYMOUS)
        if who is not None:
            kind = kind._replace(
                tenant=who.tenant, actor=who.actor, actor_name=who.actor_name, actor_type=who.actor_type
            )
        self.add(kind, Request(method, hide(path)[:MAX_PATH]))

    async def flush(self) -> None:
        """Write the events of the window that ends now; the next window starts empty."""
        self._tenants.clear()
        self._written_at_once.clear()
        await super().flush()

    def partition(self, kind: Source) -> Hashable:
        """The tenant, if it is known; one for tenants beyond MAX_TENANTS, and one per status of unknown callers."""
        if kind.actor == ANONYMOUS:
            return kind.status, kind.reason in ISSUED_BY_US_REASONS
        if len(self._tenants) < MAX_TENANTS:
            self._tenants.add(kind.tenant)
        return kind.tenant if kind.tenant in self._tenants else FURTHER

    def capacity(self, partition: Hashable) -> int:
        """Smaller for a tenant than for all unknown callers."""
        return TENANT_CAPACITY if isinstance(partition, str) and partition != FURTHER else MAX_KEYS

    def overflow_key(self, kind: Source) -> Source:
        """The others with the same status: of the tenant, or of all unknown callers."""
        if kind.actor == ANONYMOUS or self.partition(kind) == FURTHER:
            return Source(kind.status, SYSTEM_TENANT, ANONYMOUS, OTHERS, OTHERS, actor_type=ANONYMOUS)
        return Source(kind.status, kind.tenant, OTHERS, OTHERS, OTHERS)

    def event_of(self, kind: Source, tally: Tally[Request]) -> tuple[Caller, DomainEvent]:
        """`<service>.request.refused.v1` or `.limited.v1`."""
        return kind.caller, self._event(kind, tally.facts, tally.example)

    def _is_first(self, kind: Source) -> bool:
        """Whether it is the first of its kind in this window, and its partition is not full."""
        partition = self.partition(kind)
        before = self._written_at_once[partition]
        if kind in before or len(before) >= self.capacity(partition):
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
