"""Events of origins; urgent, since they apply within seconds in every service."""

from collections.abc import Sequence
from typing import Any

from quartet_common.messaging.event_types import ORIGIN_ADDED, ORIGIN_REMOVED
from quartet_common.messaging.outbox import DomainEvent
from quartet_users.origins.origin_domain import Origin


def origin_added(changed: Origin, version: int, origins: Sequence[str]) -> DomainEvent:
    """A tenant has allowed an origin; `origins` are all of the tenant now, and `version` grows with each change."""
    return DomainEvent(ORIGIN_ADDED, f"origins/{changed.id}", 1, _facts(changed, version, origins), urgent=True)


def origin_removed(changed: Origin, version: int, origins: Sequence[str]) -> DomainEvent:
    """A tenant has removed an origin; `origins` are those that are left."""
    return DomainEvent(ORIGIN_REMOVED, f"origins/{changed.id}", 2, _facts(changed, version, origins), urgent=True)


def _facts(changed: Origin, version: int, origins: Sequence[str]) -> dict[str, Any]:
    return {"id": str(changed.id), "origin": changed.origin, "version": version, "origins": list(origins)}
