"""Requests that wait for a proof: how many of a tenant wait at a time, and how often each looks for it."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.proofs.proof_usecases import WAITS_OF_TENANT
from quartet_common.core.fair_share import FairShare
from quartet_common.core.identifiers import new_id
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent


def share_of(audit: "Audit") -> FairShare:
    """The share of the requests that wait."""
    [found] = [one for one in audit.container.shares if one.resource == "waits for proofs"]
    return found


async def test_a_tenant_has_a_share_of_the_requests_that_wait_for_proofs(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant, other, event, share = new_tenant(), new_tenant(), make_event(), share_of(audit)
    path, wait = f"/audit/events/{event.id}/proof", {"wait": 10}

    async def all_wait() -> bool:
        return share.used_by(tenant) == WAITS_OF_TENANT

    waiting = [asyncio.ensure_future(audit.ask(tenant, path, wait)) for _ in range(WAITS_OF_TENANT)]
    await eventually(all_wait, "a share of waiting requests")
    status, problem = await audit.ask(tenant, path, wait)
    assert (status, problem["code"]) == (429, "share_exceeded")
    assert (await audit.ask(tenant, path))[0] == 404, "a request that does not wait is not refused"

    async def other_waits() -> bool:
        return share.used_by(other) == 1

    elsewhere = asyncio.ensure_future(audit.ask(other, path, wait))
    await eventually(other_waits, "a waiting request of another tenant")
    await audit.record([make_event(tenant=one, id=event.id) for one in (tenant, other)])
    await CheckpointSigner(audit.container).run()
    assert [status for status, _ in await asyncio.gather(*waiting, elsewhere)] == [200] * (WAITS_OF_TENANT + 1)
    assert (share.used_by(tenant), share.used_by(other)) == (0, 0)


async def test_a_request_that_waits_looks_less_often_the_longer_it_waits(
    audit: "Audit", monkeypatch: pytest.MonkeyPatch
) -> None:
    database, looks = audit.container.database, 0
    snapshot = database.snapshot

    def counted() -> Any:
        nonlocal looks
        looks += 1
        return snapshot()

    monkeypatch.setattr(database, "snapshot", counted)
    status, _ = await audit.ask(new_tenant(), f"/audit/events/{new_id()}/proof", {"wait": 2})
    assert status == 404
    assert 2 <= looks <= 8, "after 0, 0.1, 0.25, 0.48, 0.81, 1.3 and 2 seconds"
