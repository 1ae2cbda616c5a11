"""The delay of the event loop, as a process exports it."""

import asyncio
import time

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from quartet_common.telemetry.event_loop import INTERVAL, EventLoopDelay


async def test_what_blocks_the_event_loop_is_its_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    measuring = asyncio.ensure_future(EventLoopDelay().measure())
    await asyncio.sleep(0)
    time.sleep(INTERVAL + 0.2)  # noqa: ASYNC251  # what a handler must not do
    await measuring
    found = reader.get_metrics_data()
    assert found is not None
    [metric] = found.resource_metrics[0].scope_metrics[0].metrics
    [point] = metric.data.data_points
    assert (metric.name, metric.unit) == ("quartet.event_loop.delay", "s")
    assert isinstance(point, HistogramDataPoint)
    assert point.count == 1
    assert 0.2 <= point.sum < 10
