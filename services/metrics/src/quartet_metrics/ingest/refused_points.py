"""Refused points: counted in memory, and added to a metric of their tenant once a second."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from quartet_common.data.database import Database
from quartet_metrics.ingest.point_domain import Reason
from quartet_metrics.series import series_store
from quartet_metrics.series.catalog_domain import REFUSED_POINTS
from quartet_metrics.series.series_domain import Place, SeriesKey

INTERVAL = 1.0
"""Seconds between two writes: a killed process loses as much."""


class RefusedPoints:
    """Counts refused points by tenant and reason, so that a tenant with any number of them causes few writes."""

    def __init__(self, database: Callable[[], Database], clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._counts: Counter[tuple[str, Reason]] = Counter()

    def add(self, tenant: str, counts: Mapping[Reason, int]) -> None:
        """Count the refused points of a request."""
        for reason, number in counts.items():
            if number:
                self._counts[tenant, reason] += number

    async def write(self) -> None:
        """Add what was counted to the series. Raises UnavailableError; then it is added later."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        minute = self._clock().replace(second=0, microsecond=0)
        amounts = {
            Place(SeriesKey(tenant, REFUSED_POINTS.name, (str(reason),)), minute): number
            for (tenant, reason), number in counts.items()
        }
        try:
            async with self._database().transaction() as connection:
                await series_store.add_amounts(connection, amounts, {})
        except BaseException:
            self._counts.update(counts)
            raise
