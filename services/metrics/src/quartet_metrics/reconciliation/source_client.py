"""The client for totals: asks users, groups and audit what a tenant has."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.messaging.envelope import Event, decode
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.service_client import ServiceClient
from quartet_metrics.config import MetricsConfig
from quartet_metrics.reconciliation.reconciliation_domain import Gauge, of_dead_letters

RECORDER = "audit"
"""The service whose totals are events that it has got."""


class _Total(msgspec.Struct, frozen=True):
    metric: str
    labels: tuple[str, ...]
    value: int


class _Totals(msgspec.Struct, frozen=True):
    totals: list[_Total]
    events: list[msgspec.Raw]
    recorded: list[UUID]
    complete: bool
    dead_letters: int


class SourceTotals(msgspec.Struct, frozen=True):
    """The totals of a service, and recent events that are part of them: its own, and those that it has recorded."""

    totals: Mapping[Gauge, int]
    events: Sequence[Event]
    recorded: Sequence[UUID]


class SourceClient:
    """Asks one service."""

    def __init__(self, name: str, client: ServiceClient) -> None:
        self._name = name
        self._client = client

    async def read_totals(self, caller: Caller, since: datetime, applied: Sequence[UUID]) -> SourceTotals:
        """The totals of the caller's tenant, and the events since `since` without the `applied` ones.

        Raises UnavailableError (503), also if there are too many such events, or if audit, which counts what it has
        got, has dead letters of the tenant.
        """
        body = {"since": since.isoformat(), "applied": [str(one) for one in applied]}
        response = await self._client.request("POST", f"/{self._name}/totals", caller, json=body)
        if response.status_code != 200:
            raise UnavailableError(self._name, problem=f"answered {response.status_code}")
        found = msgspec.json.decode(response.content, type=_Totals)
        if not found.complete:
            raise UnavailableError(self._name, problem="has too many recent events, or keeps none (journal_hours is 0)")
        if self._name == RECORDER and found.dead_letters:
            raise UnavailableError(self._name, problem=of_dead_letters(found.dead_letters))
        totals = {Gauge(one.metric, one.labels): one.value for one in found.totals}
        return SourceTotals(totals, [decode(bytes(event)) for event in found.events], found.recorded)


def make_clients(container: AppContainer[MetricsConfig]) -> dict[str, SourceClient]:
    """A client of each service that is deployed."""
    config = container.config
    urls = {"users": config.users_url, "groups": config.groups_url, "audit": config.audit_url}
    return {name: SourceClient(name, container.service_client(name, url)) for name, url in urls.items() if url}
