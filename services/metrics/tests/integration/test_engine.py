"""What the decision for VictoriaMetrics relies on, checked on the real one, and promtool on our API."""

import json
from typing import Any

import httpx
import pytest

from quartet_metrics.engine.engine_client import EngineClient
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

START, STEPS = 1_770_200_000, 60
END = START + 60 * (STEPS - 1)


class Direct:
    """The engine without the wall."""

    def __init__(self, metrics: RunningService, url: str) -> None:
        self.client = EngineClient(metrics.container.config, lambda: metrics.container.http)
        self._http, self._url = metrics.container.http, url
        self._auth = ("quartet", metrics.container.config.metrics_engine_password.get_secret_value())

    async def write(self, tenant: str, values: list[int]) -> None:
        metric = {"__name__": "facts_total", "tenant": tenant}
        times = [(START + 60 * step) * 1000 for step in range(STEPS)]
        await self.client.write(json.dumps({"metric": metric, "values": values, "timestamps": times}).encode())

    async def ask(self, path: str, tenant: str, **form: Any) -> httpx.Response:
        form = {"extra_filters[]": f'{{tenant="{tenant}"}}', **form}
        return await self._http.post(f"{self._url}/api/v1/{path}", data=form, auth=self._auth)

    async def value(self, tenant: str, query: str) -> float | None:
        result = (await self.ask("query", tenant, query=query, time=END)).json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None


@pytest.fixture
def direct(metrics: RunningService, engine: str) -> Direct:
    return Direct(metrics, engine)


async def test_the_engine_does_what_the_decision_relies_on(direct: Direct) -> None:
    own, other = new_tenant(), new_tenant()

    async def shows(tenant: str, query: str, expected: float | None) -> None:
        async def is_shown() -> bool:
            return await direct.value(tenant, query) == expected

        await eventually(is_shown, f"{query} of {expected}")

    for _ in range(3):
        await direct.write(own, [7 * step for step in range(STEPS)])
    await direct.write(other, [1_000_000 + 7 * step for step in range(STEPS)])
    await shows(own, "count_over_time(facts_total[2h])", STEPS)
    await shows(other, "count_over_time(facts_total[2h])", STEPS)
    assert await direct.value(own, "increase(facts_total[59m])") == 413
    span: dict[str, Any] = {"start": START, "end": END}
    foreign = f'facts_total{{tenant="{other}"}}'
    for path, form in (
        ("query", {"query": foreign, "time": END}),
        ("query", {"query": f"{foreign}[1h]", "time": END}),
        ("query_range", {"query": foreign, "step": 60, **span}),
        ("series", {"match[]": foreign, **span}),
        ("label/tenant/values", {"match[]": foreign, **span}),
    ):
        data = (await direct.ask(path, own, **form)).json()["data"]
        assert (data["result"] if isinstance(data, dict) else data) == [], path
    assert (await direct.ask("label/tenant/values", own, **span)).json()["data"] == [own]
    refused = await direct.ask("labels", own, **{"extra_filters[]": "{"})
    assert refused.status_code == 422
    await direct.client.delete([f'facts_total{{tenant="{own}"}}'])
    await shows(own, "facts_total", None)
    await direct.write(own, [3 * step for step in range(STEPS)])
    await shows(own, "increase(facts_total[59m])", 177)
    assert await direct.value(other, "increase(facts_total[59m])") == 413


async def test_a_query_of_a_month_is_answered_in_one_request(direct: Direct) -> None:
    """100 series with a sample each hour for 29 days."""
    tenant, hours = new_tenant(), 696
    lines = [
        json.dumps(
            {
                "metric": {"__name__": "month", "tenant": tenant, "number": str(number)},
                "values": [number + hour for hour in range(hours)],
                "timestamps": [(START - 3600 * (hours - hour)) * 1000 for hour in range(hours)],
            }
        )
        for number in range(100)
    ]
    await direct.client.write("\n".join(lines).encode())

    async def is_there() -> bool:
        form = {"query": "month", "start": START - 3600 * hours, "end": START - 3600, "step": 3600, "nocache": 1}
        result = (await direct.ask("query_range", tenant, **form)).json()["data"]["result"]
        return len(result) == 100 and all(len(one["values"]) == hours for one in result)

    await eventually(is_there, "all points")
