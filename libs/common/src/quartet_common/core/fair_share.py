"""Fair shares: tenants share a capacity of one process.

Units are connections, threads, running searches or bytes. A holder is a tenant, or an address before its tenant is
known. No holder uses more than its share at a time, and all together use no more than the capacity. Further requests
wait in a queue of their holder; free units go to the holders in turn (round robin), so a holder with one request waits
for at most one request of each other holder. Within a holder, urgent requests come first.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from quartet_common.core.errors import ServiceError, UnavailableError

SHARE, CAPACITY = "share", "capacity"
"""Why a request was refused: its holder uses its whole share, or all holders together use the capacity."""

HOLDER: ContextVar[Hashable | None] = ContextVar("quartet_holder", default=None)
"""The holder of the running request: its tenant, or `address_holder` before a token is verified; None outside requests.
Set by the guard.
"""


def address_holder(address: str) -> Hashable:
    """The holder of a request without a known tenant; `address` as returned by `address_key`."""
    return "address", address


@contextmanager
def as_own_work() -> Iterator[None]:
    """Do work for the whole process, such as loading keys, outside of the share of the tenant whose request starts
    it.
    """
    token = HOLDER.set(None)
    try:
        yield
    finally:
        HOLDER.reset(token)


class ShareExceededError(ServiceError):
    """429 with Retry-After: the tenant already uses its whole share of `resource`."""

    def __init__(self, resource: str, retry_after: int = 1) -> None:
        super().__init__(
            429,
            "share_exceeded",
            f"This tenant already uses its whole share of {resource}. Send fewer requests at a time.",
            {"Retry-After": str(retry_after)},
        )
        self.resource = resource


class CapacityExceededError(UnavailableError):
    """503 with Retry-After: all tenants together use the whole capacity of `resource`. No server is down.

    An UnavailableError, since callers handle both in the same way.
    """

    def __init__(self, resource: str, retry_after: int = 1) -> None:
        super().__init__(resource, retry_after)
        self.code = "capacity_exceeded"
        self.detail = f"This process is at its capacity of {resource}. Try again."
        self.resource = resource


@dataclass(eq=False, slots=True)
class _Waiter:
    amount: int
    granted: asyncio.Future[bool]
    """True when the units are taken, False when the time is up."""

    @property
    def is_granted(self) -> bool:
        """Whether the units are taken, even if the waiting request was cancelled since."""
        return self.granted.done() and not self.granted.cancelled() and self.granted.result()

    def time_out(self) -> None:
        """End the wait, unless it has ended."""
        if not self.granted.done():
            self.granted.set_result(False)


@dataclass(eq=False, slots=True)
class _Holder:
    used: int = 0
    urgent: deque[_Waiter] = field(default_factory=deque)
    others: deque[_Waiter] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        return len(self.urgent) + len(self.others)

    @property
    def first(self) -> _Waiter:
        return (self.urgent or self.others)[0]

    def pop(self) -> _Waiter:
        return (self.urgent or self.others).popleft()


class FairShare:
    """`capacity` units of `resource`, of which one holder uses at most `share` at a time.

    `queue` requests of each holder may wait, each for `timeout` seconds. `resource` names the units in errors and
    metrics, in the plural ("database connections").
    """

    def __init__(self, resource: str, capacity: int, share: int, *, queue: int, timeout: float) -> None:
        if not 0 < share <= capacity:
            raise ValueError(f"the share of {resource} must be 1 to {capacity}, got {share}")
        self.resource = resource
        self.capacity = capacity
        self.share = share
        self.used = 0
        self.refusals = {SHARE: 0, CAPACITY: 0}
        """Requests refused since the start, by reason."""
        self._queue = queue
        self._timeout = timeout
        self._holders: dict[Hashable, _Holder] = {}
        self._ring: deque[Hashable] = deque()
        """Holders with waiting requests, the next to be served first."""

    @asynccontextmanager
    async def hold(self, holder: Hashable, amount: int = 1, *, urgent: bool = False) -> AsyncIterator[None]:
        """Use `amount` units inside the block. Raises what `acquire` raises."""
        amount = await self.acquire(holder, amount, urgent=urgent)
        try:
            yield
        finally:
            self.release(holder, amount)

    async def acquire(self, holder: Hashable, amount: int = 1, *, urgent: bool = False) -> int:
        """Wait for `amount` units, at most a share; return how many were taken.

        Raises ShareExceededError (429) if the holder's own requests use its share or fill its queue, and
        CapacityExceededError (503) if other holders use the capacity.
        """
        amount = min(amount, self.share)
        entry = self._holders.get(holder)
        if entry is None:
            entry = self._holders[holder] = _Holder()
        if not self._ring and self._fits(entry, amount):
            self._take(entry, amount)
            return amount  # no request waits: the usual case, without a future
        if entry.waiting >= self._queue:
            self._forget(holder, entry)
            raise self._refused(entry, amount)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(amount, loop.create_future())
        if not entry.waiting:
            self._ring.append(holder)
        (entry.urgent if urgent else entry.others).append(waiter)
        self._serve()
        timer = loop.call_later(self._timeout, waiter.time_out)  # costs a third of asyncio.timeout
        try:
            if await waiter.granted:
                return amount
        except BaseException:
            self._give_up(holder, entry, waiter)
            raise
        finally:
            timer.cancel()
        refused = self._refused(entry, amount)
        self._give_up(holder, entry, waiter)
        raise refused

    def require_queue_space(self, holder: Hashable) -> None:
        """Raise at once what `acquire` would raise at once; call it before expensive work."""
        entry = self._holders.get(holder)
        if entry is not None and entry.waiting >= self._queue:
            raise self._refused(entry, 1)

    def take(self, holder: Hashable, amount: int = 1) -> int:
        """As `acquire`, but raise instead of waiting; ignores the queue.

        For a request that already holds units: it could wait for itself in the queue.
        """
        amount = min(amount, self.share)
        entry = self._holders.get(holder) or _Holder()
        if not self._fits(entry, amount):
            raise self._refused(entry, amount)
        self._holders[holder] = entry
        self._take(entry, amount)
        return amount

    def release(self, holder: Hashable, amount: int = 1) -> None:
        """Return units from `acquire`."""
        entry = self._holders[holder]
        entry.used -= amount
        self.used -= amount
        self._forget(holder, entry)
        if self._ring:
            self._serve()

    def used_by(self, holder: Hashable) -> int:
        """Units that `holder` uses now."""
        entry = self._holders.get(holder)
        return 0 if entry is None else entry.used

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        return sum(self._holders[holder].waiting for holder in self._ring)

    @property
    def holders(self) -> int:
        """Holders that use units or wait for them now."""
        return len(self._holders)

    def _fits(self, entry: _Holder, amount: int) -> bool:
        return entry.used + amount <= self.share and self.used + amount <= self.capacity

    def _take(self, entry: _Holder, amount: int) -> None:
        entry.used += amount
        self.used += amount

    def _serve(self) -> None:
        """Grant waiting requests that fit, one of each holder in turn.

        A holder at its share is skipped. One that waits for capacity ends the round, so that many small requests do not
        delay a large one forever.
        """
        passed = 0
        while passed < len(self._ring):
            holder = self._ring[0]
            entry = self._holders[holder]
            waiter = entry.first
            if not waiter.granted.done():  # an ended wait whose task has not run yet: only remove it
                if entry.used + waiter.amount > self.share:
                    self._ring.rotate(-1)
                    passed += 1
                    continue
                if self.used + waiter.amount > self.capacity:
                    return
                self._take(entry, waiter.amount)
                waiter.granted.set_result(True)
            passed = 0
            entry.pop()
            if entry.waiting:
                self._ring.rotate(-1)
            else:
                self._ring.popleft()

    def _give_up(self, holder: Hashable, entry: _Holder, waiter: _Waiter) -> None:
        """End a wait that timed out or was cancelled; return units that were granted in the same moment."""
        if waiter.is_granted:
            self.release(holder, waiter.amount)
            return
        for queue in (entry.urgent, entry.others):
            if waiter in queue:
                queue.remove(waiter)
                if not entry.waiting:
                    self._ring.remove(holder)
        self._forget(holder, entry)
        self._serve()

    def _forget(self, holder: Hashable, entry: _Holder) -> None:
        # the holder may have a new entry by the time a cancelled wait ends
        if not entry.used and not entry.waiting and self._holders.get(holder) is entry:
            del self._holders[holder]

    def _refused(self, entry: _Holder, amount: int) -> ServiceError:
        lacks_capacity = self.used + amount > self.capacity
        is_own = entry.used + amount > self.share or entry.waiting >= self._queue or not lacks_capacity
        self.refusals[SHARE if is_own else CAPACITY] += 1
        return ShareExceededError(self.resource) if is_own else CapacityExceededError(self.resource)


def observe_shares(shares: Sequence[FairShare]) -> None:
    """Export capacity, use and refusals of `shares` as metrics, by resource; called once per process.

    The tenant is no label: each tenant would be a time series.
    """

    def observe(value: Callable[[FairShare], int]) -> Callable[[CallbackOptions], list[Observation]]:
        return lambda _: [Observation(value(one), {"resource": one.resource}) for one in shares]

    def refusals(_: CallbackOptions) -> list[Observation]:
        return [
            Observation(count, {"resource": one.resource, "reason": reason})
            for one in shares
            for reason, count in one.refusals.items()
        ]

    meter = metrics.get_meter("quartet_common.fair_share")
    gauges: dict[str, tuple[Callable[[FairShare], int], str]] = {
        "used": (lambda one: one.used, "units of a shared capacity in use"),
        "capacity": (lambda one: one.capacity, "units of a shared capacity"),
        "per_tenant": (lambda one: one.share, "units of a shared capacity that one tenant may use at a time"),
        "waiting": (lambda one: one.waiting, "requests that wait for units of a shared capacity"),
        "tenants": (lambda one: one.holders, "tenants that use or wait for units of a shared capacity"),
    }
    for name, (value, description) in gauges.items():
        meter.create_observable_gauge(f"quartet.shares.{name}", [observe(value)], description=description)
    meter.create_observable_counter(
        "quartet.shares.refused",
        [refusals],
        description="requests refused at a shared capacity, by resource and reason",
    )
