"""Shapes of comparisons over HTTP."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from quartet_common.core.identifiers import TENANT_ID
from quartet_metrics.reconciliation.reconciliation_domain import Tenant
from quartet_metrics.reconciliation.reconciliation_usecases import Result


class NewReconciliation(Struct, forbid_unknown_fields=True):
    """Which tenant is compared, and whether what differs is corrected."""

    tenant: Annotated[str, Meta(pattern=f"^{TENANT_ID.pattern}$", description="The id of a tenant.")]
    repair: Annotated[bool, Meta(description="Take the drift off each gauge that differs.")] = False


class GaugeDocument(Struct):
    """What a gauge has counted, and what exists without the changes whose events had not been applied."""

    metric: str
    labels: dict[str, str]
    counted: int
    exists: int
    drift: int


class ReconciliationDocument(Struct):
    """A comparison; `problems` are those that kept gauges from being compared."""

    tenant: str
    repaired: bool
    gauges: list[GaugeDocument]
    problems: list[str]

    @classmethod
    def of(cls, result: Result) -> "ReconciliationDocument":
        """The document of `result`."""
        gauges = [
            GaugeDocument(gauge.metric, gauge.named_labels, one.counted, one.exists, one.drift)
            for gauge, one in result.compared.items()
        ]
        return cls(result.tenant, result.is_repaired, gauges, list(result.problems))


class ComparedTenant(Struct):
    """When all gauges of a tenant were compared last, and how many differed."""

    tenant: str
    compared_at: datetime | None
    drifts: int


class ComparedTenantList(Struct):
    """A page of tenants, in the order of their ids."""

    tenants: list[ComparedTenant]
    next: Annotated[str | None, Meta(description="The cursor of the next page; null on the last one.")]

    @classmethod
    def of(cls, found: list[Tenant], onward: str | None) -> "ComparedTenantList":
        """The document of a page."""
        return cls([ComparedTenant(*one) for one in found], onward)


class TenantListQuery(Struct):
    """Which page is listed."""

    cursor: str | None = None
    count: int | None = None
