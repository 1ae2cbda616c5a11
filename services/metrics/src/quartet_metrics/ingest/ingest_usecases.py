"""Takes points of applications: limits of the tenant, totals of deltas, and one write to the engine."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

import cramjam

from quartet_common.config.rate_limit import Limit
from quartet_common.core.errors import BadRequestError, LimitedError, ServiceError
from quartet_common.core.fair_share import FairShare
from quartet_common.core.identifiers import TENANT_ID
from quartet_common.core.offload import work_on
from quartet_common.core.schedule import Schedule, run_schedule
from quartet_common.limits.redis_sync import INTERVAL as SYNC_INTERVAL
from quartet_common.limits.redis_sync import RedisSync
from quartet_common.limits.windows import REFUSED, SharedClock, Windows
from quartet_common.runtime.container import AppContainer
from quartet_metrics.config import MetricsConfig
from quartet_metrics.engine.engine_client import EngineClient
from quartet_metrics.ingest import delta_domain, delta_store
from quartet_metrics.ingest.active_series import ActiveSeries
from quartet_metrics.ingest.point_domain import (
    Collected,
    Point,
    Reason,
    Refusals,
    RefusedError,
    Writing,
    within_limit,
)
from quartet_metrics.ingest.refused_points import INTERVAL as COUNT_INTERVAL
from quartet_metrics.ingest.refused_points import RefusedPoints
from quartet_metrics.metadata.metadata_usecases import INTERVAL as METADATA_INTERVAL
from quartet_metrics.metadata.metadata_usecases import SentMetadata
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

REQUESTS, REQUESTS_OF_TENANT = 4, 2
"""Requests that a process works on at a time, in all and of one tenant: each may need 100 MB. More wait."""
WAITING, PATIENCE = 100, 10.0
LARGE = 1000
"""Samples that are worth a thread."""
Read = Callable[[bytes, int], Collected]
"""Decodes a body and reads its points at a time in milliseconds."""


class Ingest:
    """What all requests of a process share. Nothing of a refused request is stored; a repeated one changes nothing."""

    def __init__(self, container: AppContainer[MetricsConfig]) -> None:
        config = container.config
        self._container = container
        self._engine = EngineClient(config, lambda: container.http)
        self._share = FairShare("requests with points", REQUESTS, REQUESTS_OF_TENANT, queue=WAITING, timeout=PATIENCE)
        container.shares.append(self._share)
        self._series = ActiveSeries(lambda: container.redis, config.ingest_series)
        clock = SharedClock()
        self._rate = Windows(config.ingest_samples or Limit(2**62, 1), clock.now)
        self._sync = RedisSync(lambda: container.redis, clock, {"limits/metrics/samples": self._rate})
        self._refused = RefusedPoints(lambda: container.database, container.clock)
        self._metadata = SentMetadata(container)
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to share the rates of tenants with other processes, and to store counts and metadata."""
        schedules = [
            Schedule("samples-limit", SYNC_INTERVAL, self._sync.run_once),
            Schedule("refused-points", COUNT_INTERVAL, self._refused.write),
            Schedule("metadata", METADATA_INTERVAL, self._metadata.write),
        ]
        self._running = [asyncio.get_running_loop().create_task(run_schedule(one)) for one in schedules]

    async def stop(self) -> None:
        """End, and store the last counts and metadata."""
        await end_tasks(self._running)
        try:
            await self._refused.write()
            await self._metadata.write()
        except ServiceError as error:
            logger.error("the last refused points could not be counted", extra={"error": str(error)})

    async def take(self, tenant: str, body: bytes, read: Read) -> Refusals:
        """Write the points of a body to the engine; returns what was refused.

        Raises BadRequestError for a body that is not what it should be, LimitedError (429), and UnavailableError (503)
        without an engine; then the sender may send the same points again.
        """
        if TENANT_ID.fullmatch(tenant) is None:
            raise BadRequestError("The token is of no tenant that has metrics.", "no_tenant")
        self._engine.require()
        async with self._share.hold(tenant):
            now = self._container.clock()
            found = await work_on(body, lambda sent: read(sent, _milliseconds(now)))
            self._check_rate(tenant, found)
            points, refused = await self._within_limit(tenant, found, now)
            writing = Writing(tenant)
            await self._add_deltas(tenant, [one for one in points if one.start is not None], writing, refused)
            for point in points:
                if point.start is None:
                    for component, value in point.components.items():
                        writing.add(point, component, point.time // 1_000_000, value)
            if len(writing):
                await self._engine.write_samples(await _packed(writing))
        self._metadata.note(tenant, found.metadata)
        self._refused.add(tenant, refused.counts)
        return refused

    def _check_rate(self, tenant: str, found: Collected) -> None:
        """Raises LimitedError if the tenant sends too many samples; none of the request is stored."""
        samples = sum(len(one.components) for one in found.points)
        if samples and self._rate.take(tenant, samples) == REFUSED:
            points = sum(one.weight for one in found.points)
            self._refused.add(tenant, {Reason.RATE_LIMIT: points})
            limit = self._rate.limit
            detail = (
                f"The tenant may send {limit.quota} samples in {limit.seconds} s, and this request has {samples}. "
                "Nothing of it was stored. Wait as long as Retry-After says, then send it again."
            )
            raise LimitedError("samples", self._rate.wait(tenant, samples), detail)

    async def _within_limit(self, tenant: str, found: Collected, now: datetime) -> tuple[list[Point], Refusals]:
        series = [key for point in found.points for key in point.series_keys]
        beyond = await self._series.beyond_limit(tenant, series, now.timestamp())
        return within_limit(found.points, beyond, self._series.limit, found.refused), found.refused

    async def _add_deltas(self, tenant: str, points: list[Point], writing: Writing, refused: Refusals) -> None:
        """Add deltas to their totals in one transaction. It is committed before the engine has the totals: a request
        that is sent again adds nothing, and writes them.
        """
        if not points:
            return
        now = self._container.clock()
        async with self._container.database.transaction() as connection:
            totals = await delta_store.lock_totals(connection, tenant, [one.key for one in points], now)
            for point in sorted(points, key=lambda one: one.time):
                try:
                    for component, time, value in delta_domain.add(totals[point.key], point):
                        writing.add(point, component, time, value)
                except RefusedError as error:
                    refused.add(error)
            await delta_store.write_totals(connection, tenant, totals, now)


async def _packed(writing: Writing) -> bytes:
    """The body of the write, in snappy."""
    pack = partial(_pack, writing)
    return pack() if len(writing) < LARGE else await asyncio.to_thread(pack)


def _pack(writing: Writing) -> bytes:
    return bytes(cramjam.snappy.compress_raw(writing.body()))


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
