"""Reads of a log become entries: one for many requests of a caller."""

import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from quartet_audit.app import SERVICE
from quartet_audit.config import AuditConfig
from quartet_testing.conditions import eventually
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service

SCHEMA = json.loads((files("quartet_audit") / "schemas/audit.log.read.v1.json").read_text())
SCOPES = ["audit:read", "audit:retention"]


@pytest.fixture(scope="module")
async def service(config_for: ConfigFor[AuditConfig]) -> AsyncIterator[RunningService]:
    """The service with short windows."""
    config = config_for(AuditConfig)
    changed = config.model_copy(update={"read_window": 0.1})
    async with run_service(SERVICE, changed, config_for(AuditConfig, "migrate")) as service:
        yield service


async def read(service: RunningService, tenant: str, actor: str, path: str) -> int:
    """The status of a request."""
    response = await service.client.get(path, headers=service.tokens.headers(tenant, SCOPES, actor=actor))
    return int(response.status_code)


async def counted(service: RunningService, tenant: str, number: int) -> dict[tuple[str, str], int]:
    """Requests by actor and route, once there are so many."""

    async def all_of_them() -> list[Any]:
        events = await service.outbox(tenant)
        return events if sum(event.data["count"] for event in events) >= number else []

    found: dict[tuple[str, str], int] = {}
    for event in await eventually(all_of_them, "the events"):
        assert event.action == "audit.log.read"
        Draft202012Validator(SCHEMA).validate(event.data)
        key = (event.actorid, event.data["route"])
        found[key] = found.get(key, 0) + event.data["count"]
    return found


async def test_reads_are_counted_by_caller_and_route(service: RunningService) -> None:
    tenant = new_tenant()
    for _ in range(20):
        assert await read(service, tenant, "auditor", "/audit/events") == 200
    assert await read(service, tenant, "other", "/audit/events?limit=1") == 200
    assert await counted(service, tenant, 21) == {("auditor", "/audit/events"): 20, ("other", "/audit/events"): 1}


async def test_what_reads_nothing_is_not_counted(service: RunningService) -> None:
    tenant = new_tenant()
    assert await read(service, tenant, "auditor", f"/audit/events/{uuid4()}") == 404
    assert await read(service, tenant, "auditor", "/audit/events?limit=x") == 400
    assert await read(service, tenant, "auditor", "/audit/retention") == 200
    assert (await service.client.get("/audit/log/keys")).status_code == 200
    assert (await service.client.options("/audit/events")).status_code == 200
    assert await read(service, tenant, "auditor", "/audit/events") == 200
    assert await counted(service, tenant, 1) == {("auditor", "/audit/events"): 1}
