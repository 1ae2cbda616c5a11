"""Metadata of the metrics of applications: what is listed, by whom, how much, and what outages do."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import cramjam
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.tenant_deletion import Erasure
from quartet_metrics.ingest.remote_write_points import WriteRequest
from quartet_metrics.metadata import metadata_store
from quartet_metrics.metadata.metadata_domain import MAX_HELP, MAX_METRICS, Metadata
from quartet_metrics.metadata.metadata_usecases import KEPT, SentMetadata, pruning_metadata
from quartet_metrics.series.catalog_domain import METRICS
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

GAUGE = Metadata("gauge", "bytes", "memory")
POINT = {"asDouble": 1.0}


def metric(name: str, kind: str, unit: str = "", description: str = "", **data: Any) -> dict[str, Any]:
    return {"name": name, "unit": unit, "description": description, kind: {"dataPoints": [POINT], **data}}


class Listed:
    """What a tenant sends, and what is listed of it."""

    def __init__(self, metrics: RunningService) -> None:
        self.metrics = metrics
        self.tenant = new_tenant()

    async def send(self, *sent: dict[str, Any]) -> None:
        body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": list(sent)}]}]}
        headers = self.metrics.tokens.headers(self.tenant, ["metrics:write"])
        response = await self.metrics.client.post("/metrics/otlp/v1/metrics", json=body, headers=headers)
        assert response.status_code == 200, await response.get_data()

    async def write(self, *sent: tuple[str, int, str, str]) -> int:
        request = WriteRequest()
        for name, kind, unit, text in sent:
            request.metadata.add(metric_family_name=name, type=kind, unit=unit, help=text)
        headers = self.metrics.tokens.headers(self.tenant, ["metrics:write"])
        headers |= {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
        path = "/metrics/prometheus/api/v1/write"
        return int((await self.metrics.client.post(path, data=body, headers=headers)).status_code)

    async def all(self, **given: str) -> dict[str, Any]:
        headers = self.metrics.tokens.headers(self.tenant, ["metrics:read"])
        path = "/metrics/prometheus/api/v1/metadata"
        response = await self.metrics.client.get(path, query_string=given, headers=headers)
        assert response.status_code == 200
        found: dict[str, Any] = json.loads(await response.get_data())["data"]
        return found

    async def own(self) -> dict[str, Metadata]:
        """What is listed besides Quartet's own metrics."""
        found = await self.all()
        assert found.keys() >= METRICS.keys()
        return {name: Metadata(**one) for name, [one] in found.items() if name not in METRICS}

    async def shows(self, expected: dict[str, Metadata]) -> None:
        async def is_shown() -> bool:
            return await self.own() == expected

        try:
            await eventually(is_shown, "the metadata", 15)
        except AssertionError:
            assert await self.own() == expected


@pytest.fixture
def listed(metrics: RunningService, engine: str) -> Listed:
    return Listed(metrics)


async def test_metrics_of_otlp_are_listed_with_type_unit_and_help(listed: Listed) -> None:
    await listed.send(
        metric("memory.used", "gauge", "By", "memory"),
        metric("http.requests", "sum", "{request}", "requests", isMonotonic=True, aggregationTemporality=2),
        metric("queue.length", "sum", aggregationTemporality=2),
        metric("speed", "gauge", "m/s", "with\0 NUL"),
        metric("request.duration", "histogram", "s", "x" * (MAX_HELP + 1), aggregationTemporality=2),
        metric("size", "exponentialHistogram", aggregationTemporality=1),
        metric("quartet.users", "gauge", "", "not ours"),
    )
    await listed.shows({
        "http_requests_total": Metadata("counter", "", "requests"),
        "memory_used_bytes": GAUGE,
        "queue_length": Metadata("gauge", "", ""),
        "request_duration_seconds": Metadata("histogram", "seconds", "x" * MAX_HELP),
        "size": Metadata("histogram", "", ""),
        "speed_meters_per_second": Metadata("gauge", "meters_per_second", "with NUL"),
    })  # fmt: skip
    assert await Listed(listed.metrics).own() == {}
    assert list(await listed.all(metric="size")) == ["size"]
    assert list(await listed.all(limit=str(len(METRICS) + 1))) == [*METRICS, "http_requests_total"]


async def test_metadata_of_remote_write_is_listed_and_the_last_one_counts(listed: Listed) -> None:
    sent = [("up", 2, "", "is up"), ("new", 99, "", ""), ("quartet_users", 1, "", ""), ("bad name", 1, "", "")]
    assert await listed.write(*sent) == 204
    await listed.shows({"new": Metadata("unknown", "", ""), "up": Metadata("gauge", "", "is up")})
    assert await listed.write(("up", 1, "s", "was up")) == 204
    await listed.shows({"new": Metadata("unknown", "", ""), "up": Metadata("counter", "s", "was up")})


async def test_metadata_that_is_known_is_stored_again_after_an_hour_only(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, written = listed.metrics.container, []
    write = metadata_store.write_metadata

    async def observed(connection: Any, tenant: str, sent: Any, now: Any) -> None:
        written.append(dict(sent))
        await write(connection, tenant, sent, now)

    monkeypatch.setattr(metadata_store, "write_metadata", observed)
    sent, now = SentMetadata(container), container.clock()
    for passed, expected in ((0, 1), (59, 1), (61, 2), (62, 2)):
        monkeypatch.setattr(container, "clock", lambda at=now + timedelta(minutes=passed): at)
        sent.note(listed.tenant, {"a": GAUGE})
        await sent.write()
        sent.note(listed.tenant, {"a": GAUGE})
        await sent.write()
        assert [one for one in written if "a" in one] == [{"a": GAUGE}] * expected, passed


async def test_a_tenant_has_a_limit_and_what_it_has_can_still_change(listed: Listed) -> None:
    sent = SentMetadata(listed.metrics.container)
    for prefix, number in (("a", MAX_METRICS), ("b", 10)):
        sent.note(listed.tenant, {f"{prefix}{one:05}": GAUGE for one in range(number)})
        await sent.write()
    found = await listed.own()
    assert (len(found), {name[0] for name in found}) == (MAX_METRICS, {"a"})
    changed = Metadata("counter", "", "")
    sent.note(listed.tenant, {"a00007": changed, "c": changed})
    await sent.write()
    assert await listed.own() == found | {"a00007": changed}


async def test_metadata_waits_while_postgresql_is_away(listed: Listed, servers: Stack) -> None:
    sent = SentMetadata(listed.metrics.container)
    sent.note(listed.tenant, {"a": GAUGE})
    await asyncio.to_thread(servers.stop, "postgres")
    try:
        with pytest.raises(UnavailableError):
            await sent.write()
        sent.note(listed.tenant, {"a": GAUGE._replace(help="newer"), "b": GAUGE})
    finally:
        await asyncio.to_thread(servers.start, "postgres")

    async def is_written() -> bool:
        try:
            await sent.write()
        except UnavailableError:
            return False
        return True

    await eventually(is_written, "PostgreSQL is back", 30)
    await listed.shows({"a": GAUGE._replace(help="newer"), "b": GAUGE})


async def test_what_is_not_sent_any_more_and_what_a_deleted_tenant_has_sent_is_deleted(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, container = Listed(listed.metrics), listed.metrics.container
    sent, now = SentMetadata(container), container.clock()
    monkeypatch.setattr(container, "clock", lambda: now - KEPT - timedelta(minutes=1))
    sent.note(listed.tenant, {"old": GAUGE})
    await sent.write()
    monkeypatch.setattr(container, "clock", lambda: now)
    for one in (listed, other):
        sent.note(one.tenant, {"new": GAUGE})
    await sent.write()
    await pruning_metadata(container).action()
    assert (await listed.own(), await other.own()) == ({"new": GAUGE}, {"new": GAUGE})
    async with container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, other.tenant)
    monkeypatch.undo()
    await tenant_deletion.erasing(container, Erasure(staying={"engine_erased"})).action()
    async with container.database.connection() as connection:
        query = "SELECT count(*) FROM metric_metadata WHERE tenant_id = $1"
        left = [await connection.fetchval(query, one.tenant) for one in (listed, other)]
    assert left == [1, 0]
