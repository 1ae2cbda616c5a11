"""Refusals: turns 401, 403 and 429 answers into events, those that could be any number as bounded summaries."""

from typing import NamedTuple

from quart import current_app, request

from quartet_common.auth.guard import principal, source_address
from quartet_common.auth.opaque import hide
from quartet_common.auth.principal import Principal
from quartet_common.ids import SYSTEM_TENANT, new_id
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.outbox import Caller, DomainEvent
from quartet_common.summaries import ANONYMOUS, OTHERS, Summaries, Tally

MAX_PATH = 256
UNKNOWN = "unknown"


EXTENSION = "quartet_refusals"
"""The name under which an app has its log."""


async def record_partial_refusal(scope: str) -> None:
    """Record that the running request was denied what of it needs `scope`; the rest of it goes on."""
    log: RefusalLog = current_app.extensions[EXTENSION]
    await log.forbidden(principal(), source_address(), request.method, request.path, scope)


class Source(NamedTuple):
    """What is counted together: the same answer, for the same reason, to the same one at the same address."""

    status: int
    tenant: str
    actor: str
    address: str
    reason: str


class Request(NamedTuple):
    """The first request of its kind, without what in its path is secret."""

    method: str
    path: str


class RefusalLog(Summaries[Source, Request]):
    """Records refused requests in the service's outbox.

    A 403 has a verified caller and becomes an event of its own. Anybody could cause any number of 401 and 429: they are
    counted per caller, source address and reason and written once per window, at most MAX_KEYS + 2 events.
    """

    name = "refused requests"

    async def forbidden(self, who: Principal, address: str | None, method: str, path: str, scope: str) -> None:
        """Record that `who` lacked `scope`. When PostgreSQL is away only the log line remains."""
        data = {
            "status": 403,
            "reason": "insufficient_scope",
            "scope": scope,
            "method": method,
            "path": hide(path)[:MAX_PATH],
        }
        event = DomainEvent(f"{self._service}.request.refused.v1", f"requests/{new_id()}", 1, data, DENIED)
        await self._write(Caller(who.tenant, who.actor, address), [event])

    def unauthenticated(self, address: str | None, reason: str, method: str, path: str) -> None:
        """Count a request that had no valid token."""
        source = Source(401, SYSTEM_TENANT, ANONYMOUS, address or UNKNOWN, reason)
        self.add(source, Request(method, hide(path)[:MAX_PATH]))

    def limited(self, who: Principal | None, address: str | None, limit: str, method: str, path: str) -> None:
        """Count a request that was one too many; `who` is the caller if it is known."""
        tenant, actor = (SYSTEM_TENANT, ANONYMOUS) if who is None else (who.tenant, who.actor)
        self.add(Source(429, tenant, actor, address or UNKNOWN, limit), Request(method, hide(path)[:MAX_PATH]))

    def rest(self, kind: Source) -> Source:
        """By status, whoever it was."""
        return Source(kind.status, SYSTEM_TENANT, ANONYMOUS, OTHERS, OTHERS)

    def told(self, kind: Source, tally: Tally[Request]) -> tuple[Caller, DomainEvent]:
        """`<service>.request.refused.v1` or `.limited.v1`."""
        is_limited = kind.status == 429
        reason = {"limit" if is_limited else "reason": kind.reason}
        data = {"status": kind.status, **reason, **tally.facts, **tally.example._asdict()}
        event = f"{self._service}.request.{'limited' if is_limited else 'refused'}.v1"
        caller = Caller(kind.tenant, kind.actor, kind.address)
        return caller, DomainEvent(event, f"requests/{new_id()}", 1, data, DENIED)
