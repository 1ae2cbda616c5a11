"""The wall between tenants, with generated queries: what one tenant reads does not depend on the samples of another."""

import asyncio
import json
import re
from collections import Counter
from typing import Any

import pytest

from quartet_common.core.errors import ServiceError
from quartet_metrics.engine.engine_client import EngineClient
from quartet_metrics.prometheus.prometheus_domain import Selection
from quartet_metrics.prometheus.prometheus_parameters import read_instant, read_range, read_selection
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries
from quartet_testing.conditions import eventually
from quartet_testing.promql import Queries
from quartet_testing.services import RunningService, new_tenant

START, MINUTES = 1_770_100_000, 60
END = START + 60 * (MINUTES - 1)
NAMES = ("sent_total", "received")
DIGITS = re.compile(r"[0-9]+\.[0-9]{6,}(?:e[+-][0-9]+)?")
CHOOSING = ("topk", "bottomk", "limitk", "outliersk", "any", "limit 5", "mode")
MARK = 777_000_777
SPAN = {"start": [str(START)], "end": [str(END)]}


async def fill(engine: EngineClient, tenant: str, first: int, **labels: str) -> None:
    lines: list[str] = []
    for name in NAMES:
        for kind in ("x", "y"):
            metric = {"__name__": name, "tenant": tenant, "type": kind, **labels}
            factor = 7 + len(lines)
            values = [first + factor * minute for minute in range(MINUTES)]
            times = [(START + 60 * minute) * 1000 for minute in range(MINUTES)]
            lines.append(json.dumps({"metric": metric, "values": values, "timestamps": times}))
    await engine.write("\n".join(lines).encode())


class Asking:
    """One tenant that asks everything, and keeps the results."""

    def __init__(self, queries: PrometheusQueries, tenant: str) -> None:
        self.queries = queries
        self.tenant = tenant

    async def all(self, asked: list[tuple[str, Any]]) -> list[str]:
        """The result of each request, or the code of its error; eight at a time."""
        results: list[str] = [""] * len(asked)
        places = iter(range(len(asked)))

        async def work() -> None:
            for place in places:
                results[place] = await self.one(*asked[place])

        await asyncio.gather(*(work() for _ in range(4)))
        return results

    async def one(self, path: str, given: Any) -> str:
        try:
            return (await self._send(path, given)).decode()
        except ServiceError as error:
            return f"{error.status} {error.detail}"

    async def _send(self, path: str, given: Any) -> bytes:
        if path == "query":
            return await self.queries.evaluate(self.tenant, path, read_instant(given))
        if path == "query_range":
            return await self.queries.evaluate(self.tenant, path, read_range(given))
        asked: Selection = read_selection(given)
        if path == "series":
            return await self.queries.find_series(self.tenant, asked)
        if path == "labels":
            return await self.queries.list_labels(self.tenant, asked)
        return await self.queries.list_values(self.tenant, path, asked)


def requests(number: int, own: str, foreign: str) -> list[tuple[str, Any]]:
    """So many requests: queries at a time and over a range, and each way to list series and labels."""
    made, found = Queries(13, own, foreign, [*NAMES, "secret_total"]), []
    paths = ("query", "query", "query", "query_range", "query_range", "series", "labels", "secret", "__name__", "type")
    for turn in range(number):
        path = paths[turn % len(paths)]
        if path == "query":
            found.append((path, {"query": [made.one()], "time": [str(END)]}))
        elif path == "query_range":
            found.append((path, {"query": [made.one()], "step": ["600"], **SPAN}))
        else:
            found.append((path, {"match[]": [made.selector()], **SPAN}))
    return found


def comparable(result: str, request: tuple[str, Any]) -> Any:
    """A result without the order of its series, and without the last digits, which depend on the order of additions; of
    functions that choose among equals, only the number of series.
    """
    if not result.startswith("{"):
        return result
    data = json.loads(result)["data"]
    found = data["result"] if isinstance(data, dict) else data
    if any(name in str(request) for name in CHOOSING):
        return len(found)
    return sorted(DIGITS.sub(lambda number: f"{_rounded(float(number[0])):.8g}", json.dumps(one)) for one in found)


def _rounded(value: float) -> float:
    """Zero for what is left of numbers that cancel each other out."""
    return 0.0 if abs(value) < 1e-9 else value


async def compare(metrics: RunningService, number: int) -> Counter[str]:
    """Ask before and after another tenant has samples: every result is the same. Returns how often which status was."""
    own, foreign = new_tenant(), new_tenant()
    engine = EngineClient(metrics.container.config, lambda: metrics.container.http)
    asking, other = (Asking(PrometheusQueries(metrics.container), one) for one in (own, foreign))
    everything = {"match[]": ['{__name__!=""}'], **SPAN}
    await fill(engine, own, 0)
    await eventually(lambda: _lists(asking, everything, 4), "the own series are there")
    asked = requests(number, own, foreign)
    before = await asking.all(asked)
    await fill(engine, foreign, MARK, secret="marked")
    await eventually(lambda: _lists(other, everything, 4), "the foreign series are there")
    after = await asking.all(asked)
    for request, first, second in zip(asked, before, after, strict=True):
        if comparable(first, request) != comparable(second, request):
            assert await is_repeated(asking, request, first), (request, first, second)
        if second.startswith("{"):  # an error repeats parts of the query
            assert "marked" not in second, request
            assert str(MARK)[:6] not in second, request
    return Counter(
        "empty" if one.endswith(('"result":[]}}', '"data":[]}')) else "found" if one.startswith("{") else one[:3]
        for one in after
    )


async def is_repeated(asking: Asking, request: tuple[str, Any], first: str) -> bool:
    """Whether a request has its first result again, of some that it has in turn: the engine adds in the order in which
    it finds series, and a function such as `remove_resets` takes the least difference for a reset.
    """
    for _ in range(50):
        if comparable(await asking.one(*request), request) == comparable(first, request):
            return True
    return False


async def _lists(asking: Asking, given: Any, number: int) -> bool:
    return len(json.loads(await asking.one("series", given))["data"]) == number


async def test_no_generated_query_depends_on_another_tenant(metrics: RunningService, engine: str) -> None:
    found = await compare(metrics, 500)
    assert found["found"] > 150, found
    assert found["503"] < 10, found


@pytest.mark.slow
async def test_none_of_10000_generated_queries_depends_on_another_tenant(metrics: RunningService, engine: str) -> None:
    found = await compare(metrics, 10_000)
    assert found["found"] > 3_000, found
