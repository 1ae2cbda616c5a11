"""Group operations of a Bulk on their way to the groups service: in time, and never after an answer was lost."""

from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import pytest

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_scim.bulk import Method, Outcome, Planned, make_plan, parse_bulk
from quartet_scim_http.bulk_outcomes import LATE
from quartet_users.bulk import group_operations_client
from quartet_users.bulk.group_operations_client import NOT_TRIED, SPARE, TIMEOUT, GroupOperationsClient

CALLER = Caller("acme", "hr-sync")
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


class FakeGroups:
    """Answers each call after so many `seconds`, but for the one at place `lost`; calls as (timeout, seconds sent)."""

    def __init__(self, seconds: float = 0.0, lost: int | None = None) -> None:
        self.now = 0.0
        self.calls: list[tuple[float | None, float]] = []
        self._seconds = seconds
        self._lost = lost

    async def request(self, *_: Any, content: bytes, timeout: httpx.Timeout, **__: Any) -> httpx.Response:
        """What ServiceClient.request does."""
        message = orjson.loads(content)
        self.calls.append((timeout.read, message["seconds"]))
        self.now += self._seconds
        if len(self.calls) - 1 == self._lost:
            raise UnavailableError("groups")
        results = [{"status": 201, "version": 1} for _ in message["operations"]]
        return httpx.Response(200, content=orjson.dumps({"results": results}))


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> Sequence[Planned]:
    """Four operations, each of which is a call of its own."""
    monkeypatch.setattr(group_operations_client, "MAX_CALL_BYTES", 1)
    data = {"schemas": [GROUP], "displayName": "g"}
    sent = [{"method": Method.POST, "path": "/Groups", "bulkId": str(n), "data": data} for n in range(4)]
    request = parse_bulk({"schemas": [BULK], "Operations": sent}, ["/Groups"])
    return make_plan(request.operations, ["/Groups"], lambda: "id").operations


async def carry_out(groups: FakeGroups, operations: Sequence[Planned], seconds: float) -> list[Outcome]:
    client = GroupOperationsClient(groups, lambda: groups.now)  # type: ignore[arg-type]  # a fake
    return await client.carry_out(CALLER, operations, None, seconds)


async def test_after_a_lost_answer_nothing_more_is_sent(operations: Sequence[Planned]) -> None:
    groups = FakeGroups(lost=1)
    outcomes = await carry_out(groups, operations, 50)
    assert [one.status for one in outcomes] == [201, 503, 503, 503]
    assert [one.error is NOT_TRIED for one in outcomes] == [False, False, True, True]
    assert len(groups.calls) == 2


async def test_no_call_outlasts_the_time_and_what_has_none_left_is_not_sent(operations: Sequence[Planned]) -> None:
    groups = FakeGroups(seconds=20)
    outcomes = await carry_out(groups, operations, 40 + SPARE)
    assert [one.error is LATE for one in outcomes] == [False, False, True, True]
    assert groups.calls == [(TIMEOUT, TIMEOUT - SPARE), (20 + SPARE, 20)]
