"""Metadata that applications send is kept in memory, and stored once a second if it is new; a query lists it."""

from collections.abc import Mapping
from datetime import timedelta

from quartet_common.core.schedule import Schedule
from quartet_common.runtime.container import AppContainer
from quartet_metrics.config import MetricsConfig
from quartet_metrics.metadata import metadata_store
from quartet_metrics.metadata.metadata_domain import MAX_METRICS, OWN, Metadata

INTERVAL = 1.0
"""Seconds between two writes: a killed process loses as much, which is sent again."""
RENEWED = timedelta(hours=1)
"""After which metadata that has not changed is stored again, so that it is kept."""
KEPT = timedelta(days=30)
"""How long metadata is kept after it was sent for the last time."""
REMEMBERED = 50_000
"""Metrics of all tenants that a process knows to be stored."""
MAX_WAITING = 20_000
"""Metrics of all tenants that wait to be stored, about 1 KB each."""
PRUNE_INTERVAL, PRUNE_BATCH = 3600.0, 5000

Container = AppContainer[MetricsConfig]


class SentMetadata:
    """Metadata that waits to be stored, by tenant and metric, and hashes of what is stored already."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._waiting: dict[str, dict[str, Metadata]] = {}
        self._stored: dict[tuple[str, str], int] = {}
        self._stored_since = container.clock()

    def note(self, tenant: str, sent: Mapping[str, Metadata]) -> None:
        """Have the metadata of a request stored. What is too much at a time is ignored until it is sent again."""
        new = [(metric, one) for metric, one in sent.items() if self._stored.get((tenant, metric)) != hash(one)]
        if new and sum(map(len, self._waiting.values())) < MAX_WAITING:
            waiting = self._waiting.setdefault(tenant, {})
            waiting.update(new[: MAX_METRICS - len(waiting)])

    async def write(self) -> None:
        """Store what is new. Raises UnavailableError; then what is left is stored later."""
        now = self._container.clock()
        if len(self._stored) > REMEMBERED or now - self._stored_since > RENEWED:
            self._stored, self._stored_since = {}, now
        for tenant in list(self._waiting):
            sent = self._waiting.pop(tenant)
            try:
                async with self._container.database.transaction() as connection:
                    await metadata_store.write_metadata(connection, tenant, sent, now)
            except BaseException:
                self._waiting[tenant] = sent | self._waiting.get(tenant, {})
                raise
            self._stored |= {(tenant, metric): hash(one) for metric, one in sent.items()}


async def list_metadata(
    container: Container, tenant: str, metric: str | None, limit: int | None
) -> dict[str, Metadata]:
    """The metadata of Quartet's own metrics, then of those of the tenant's applications; at most `limit`."""
    own = OWN if metric is None else {metric: OWN[metric]} if metric in OWN else {}
    async with container.database.connection() as connection:
        sent = await metadata_store.read_metadata(connection, tenant, metric, MAX_METRICS)
    return dict(list((own | sent).items())[:limit])


def pruning_metadata(container: Container) -> Schedule:
    """The schedule that deletes metadata that is not sent any more."""

    async def prune() -> None:
        pruned = PRUNE_BATCH
        while pruned == PRUNE_BATCH:
            async with container.database.transaction() as connection:
                pruned = await metadata_store.prune_metadata(connection, container.clock() - KEPT, PRUNE_BATCH)

    return Schedule("metadata-prune", PRUNE_INTERVAL, prune)
