"""The use cases of the Prometheus API: a request of a tenant becomes one of the engine, behind an enforced filter."""

from collections.abc import Callable

import httpx
import msgspec

from quartet_common.core.fair_share import FairShare
from quartet_common.core.identifiers import TENANT_ID
from quartet_common.runtime.container import AppContainer
from quartet_metrics.config import MetricsConfig
from quartet_metrics.engine.engine_client import EngineClient, Parameters, engine_unavailable
from quartet_metrics.engine.engine_domain import TENANT
from quartet_metrics.prometheus.prometheus_domain import (
    QueryError,
    Selection,
    answer,
    own_label_sets,
    own_names,
    own_result,
    refusal,
    values_of,
)

QUERIES, QUERIES_OF_TENANT = 8, 4
"""Queries that a process has in the engine at a time, in all and of one tenant; more wait."""
WAITING, PATIENCE = 100, 10.0


EXACT = {"nocache": "1"}
"""Otherwise the engine rounds times to steps, and shows values from before a rewrite."""


class PrometheusQueries:
    """The engine as the tenants see it: each only its own series, without the label that names it."""

    def __init__(self, container: AppContainer[MetricsConfig]) -> None:
        self._engine = EngineClient(container.config, lambda: container.http)
        self._share = FairShare("queries of metrics", QUERIES, QUERIES_OF_TENANT, queue=WAITING, timeout=PATIENCE)
        container.shares.append(self._share)

    async def evaluate(self, tenant: str, path: str, parameters: Parameters) -> bytes:
        """The result of an instant or range query. Raises QueryError (422) and what `_ask` raises."""
        return await self._ask(tenant, path, {**parameters, **EXACT}, lambda body: own_result(body, tenant))

    async def find_series(self, tenant: str, asked: Selection) -> bytes:
        """The label sets of series."""
        return await self._ask(
            tenant, "series", asked.forwarded, lambda body: own_label_sets(body, tenant, asked.limit)
        )

    async def list_labels(self, tenant: str, asked: Selection) -> bytes:
        """The names of labels."""
        return await self._ask(tenant, "labels", asked.forwarded, lambda body: own_names(body, asked.limit))

    async def list_values(self, tenant: str, name: str, asked: Selection) -> bytes:
        """The values of the label `name`; none of the label that names the tenant."""
        if name == TENANT:
            return answer([])
        path = f"label/{name}/values"
        return await self._ask(tenant, path, asked.forwarded, lambda body: values_of(body, asked.limit))

    async def _ask(self, tenant: str, path: str, parameters: Parameters, own: Callable[[bytes], bytes]) -> bytes:
        """The tenant's part of the engine's response.

        Raises QueryError (422), UnavailableError (503), ShareExceededError (429).
        """
        if TENANT_ID.fullmatch(tenant) is None:
            raise QueryError("The token is of no tenant that has metrics.", "no_tenant")
        async with self._share.hold(tenant):
            found = await self._engine.ask(path, parameters, tenant)
            if found.status != httpx.codes.OK:
                raise refusal(found.body)
            try:
                return own(found.body)
            except (msgspec.MsgspecError, ValueError) as error:
                raise engine_unavailable("gave a response of an unknown form") from error
