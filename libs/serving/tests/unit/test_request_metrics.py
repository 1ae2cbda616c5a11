"""Observed: whose trace a request belongs to, and what is counted of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, generate_latest

from quartet_serving.exchange import ROUTE
from quartet_serving.request_metrics import ABANDONED, OTHER, Measured
from quartet_testing.traces import new_parent

Scope = dict[str, Any]
HEALTH = "/common/health/"
COUNT, SIZES = "http_server_request_duration_seconds_count", "http_server_response_body_size_bytes_sum"


def scope(method: str = "GET", path: str = "/common/things", headers: dict[str, str] | None = None) -> Scope:
    sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return {"type": "http", "method": method, "scheme": "http", "path": path, "headers": sent}


async def nothing(*_: Any) -> None:
    """Take a message."""


async def run(asked: Scope, status: int = 200, body: bytes = b"body") -> trace.SpanContext:
    """Run a request through a measured application, and give the span that it saw."""
    seen: list[trace.SpanContext] = []

    async def app(_: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        seen.append(trace.get_current_span().get_span_context())
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    await Measured(app, HEALTH)(asked, nothing, nothing)
    return seen[0]


def counted(method: str, status: int, route: str = "") -> float:
    """Requests, by the histogram of their durations."""
    return value(COUNT, **of_request(method, status), http_route=route)


def of_request(method: str, status: int) -> dict[str, str]:
    return {"http_request_method": method, "url_scheme": "http", "http_response_status_code": str(status)}


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_the_trace_of_the_caller_goes_on_in_a_span_of_our_own() -> None:
    parent = new_parent()
    span = await run(scope(headers=parent.headers))
    assert format(span.trace_id, "032x") == parent.trace_id
    assert format(span.span_id, "016x") != parent.span_id
    assert not span.trace_flags.sampled


@pytest.mark.parametrize("headers", [{}, {"traceparent": "no trace"}, {"traceparent": f"00-{'0' * 32}-{'0' * 16}-01"}])
async def test_without_a_trace_of_the_caller_each_request_has_its_own(headers: dict[str, str]) -> None:
    first, second = await run(scope(headers=headers)), await run(scope(headers=headers))
    assert first.is_valid
    assert first.trace_id != second.trace_id


async def test_after_the_request_its_span_is_no_longer_the_current_one() -> None:
    await run(scope())
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_request_is_counted_by_method_and_status_with_its_size() -> None:
    before = counted("PATCH", 412)
    size = value(SIZES, **of_request("PATCH", 412))
    await run(scope("PATCH"), 412, b"x" * 70)
    assert counted("PATCH", 412) == before + 1
    assert value(SIZES, **of_request("PATCH", 412)) == size + 70
    assert value("http_server_active_requests", http_request_method="PATCH", url_scheme="http") == 0


async def test_a_request_is_counted_at_the_template_of_its_route_not_at_its_path() -> None:
    async def app(asked: Scope, _: Callable[..., Any], send: Callable[..., Any]) -> None:
        asked[ROUTE] = "/common/things/<name>"
        await send({"type": "http.response.start", "status": 207, "headers": []})

    for number in range(3):
        await Measured(app, HEALTH)(scope(path=f"/common/things/{number}"), app, nothing)
    assert counted("GET", 207, "/common/things/<name>") == 3
    assert b"/common/things/1" not in generate_latest()


async def test_durations_are_in_seconds() -> None:
    async def app(_: Scope, __: Callable[..., Any], send: Callable[..., Any]) -> None:
        await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 208, "headers": []})

    await Measured(app, HEALTH)(scope(), app, nothing)
    assert 0.015 < value(COUNT.replace("count", "sum"), **of_request("GET", 208), http_route="") < 10


async def test_with_a_meter_the_same_is_exported_under_the_same_names() -> None:
    async def app(asked: Scope, _: Callable[..., Any], send: Callable[..., Any]) -> None:
        asked[ROUTE] = "/common/things"
        await send({"type": "http.response.start", "status": 204, "headers": []})

    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    await Measured(app, HEALTH, meter)(scope(), app, nothing)
    found = reader.get_metrics_data()
    assert found is not None
    seen = {
        one.name: (one.unit, [dict(point.attributes or {}) for point in one.data.data_points])
        for one in found.resource_metrics[0].scope_metrics[0].metrics
    }
    sized: dict[str, Any] = {"http.request.method": "GET", "url.scheme": "http", "http.response.status_code": "204"}
    assert seen == {
        "http.server.request.duration": ("s", [{**sized, "http.route": "/common/things"}]),
        "http.server.response.body.size": ("By", [sized]),
        "http.server.active_requests": ("{request}", [{"http.request.method": "GET", "url.scheme": "http"}]),
    }


async def test_an_application_that_dies_is_counted_as_a_500() -> None:
    async def app(*_: Any) -> None:
        raise ValueError

    before = counted("GET", 500)
    with pytest.raises(ValueError):  # noqa: PT011  # it has no words
        await Measured(app, HEALTH)(scope(), app, app)
    assert counted("GET", 500) == before + 1


async def test_a_request_that_its_client_abandons_is_no_failure_of_ours() -> None:
    async def app(*_: Any) -> None:
        raise asyncio.CancelledError

    before = counted("GET", ABANDONED), counted("GET", 500)
    with pytest.raises(asyncio.CancelledError):
        await Measured(app, HEALTH)(scope(), app, app)
    assert (counted("GET", ABANDONED), counted("GET", 500)) == (before[0] + 1, before[1])


async def test_a_path_that_only_holds_the_word_health_is_counted() -> None:
    before = counted("GET", 404)
    await run(scope(path="/scim/v2/Users/health/1"), 404)
    assert counted("GET", 404) == before + 1


async def test_what_a_client_invents_makes_no_new_series() -> None:
    before = counted(OTHER, 405)
    for number in range(3):
        await run(scope(f"M{number}"), 405)
    assert counted(OTHER, 405) == before + 3
    assert counted("M1", 405) == 0


async def test_questions_for_health_are_not_counted_and_have_no_trace() -> None:
    before = counted("GET", 203)
    assert not (await run(scope(path="/common/health/live"), 203)).is_valid
    assert counted("GET", 203) == before


async def test_baggage_is_neither_read_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    sent = scope()
    sent["headers"] = [(b"baggage", b"secret=%%%" + b"%" * 8000), (b"baggage", b"a=b," * 300)]
    assert (await run(sent)).is_valid
    assert not caplog.records
