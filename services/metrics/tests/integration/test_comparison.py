"""The same samples in a real Prometheus and in ours: queries that agree, and those of docs/metrics.md that differ."""

import json
import math
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import pytest

from quartet_cli.layout import CHECKOUT
from quartet_metrics.engine.engine_client import EngineClient
from quartet_testing.compared_samples import as_import, as_open_metrics, first_time, series
from quartet_testing.conditions import eventually
from quartet_testing.prometheus_server import PROGRAMS, run_prometheus
from quartet_testing.services import RunningService, new_tenant

AGREEING = Path(__file__).with_name("agreeing_queries.txt")
DOCUMENT = CHECKOUT / "docs/metrics.md"
TABLE = "| Prometheus 2.42 | here | queries |"
API = "/metrics/prometheus/api/v1"
FIRST = first_time()
AT_SAMPLES = FIRST + 5400
"""A time of samples, in the middle of them."""
BETWEEN = AT_SAMPLES + 7
RANGE, STEP = 1800, 60
TIMES = {
    "At any time": (AT_SAMPLES, BETWEEN),
    "At the times of samples": (AT_SAMPLES,),
    "Between samples": (BETWEEN,),
}
"""The sections of AGREEING, and when their queries are evaluated."""


class Answer(NamedTuple):
    """The type of a result, and of each series its labels and points; of an error only the type."""

    kind: str
    series: list[tuple[dict[str, str], list[tuple[float, float]]]]


class Both:
    """A Prometheus and ours with the same samples."""

    def __init__(self, prometheus: httpx.AsyncClient, metrics: RunningService, tenant: str) -> None:
        self._prometheus, self._metrics = prometheus, metrics
        self._headers = metrics.tokens.headers(tenant, ["metrics:read"])

    async def ask(self, query: str, at: int, *, of_range: bool) -> tuple[Answer, Answer]:
        """The answers of Prometheus and of ours, at a time or over a range that begins with it."""
        form: dict[str, Any] = {"query": query.replace("$BEGIN", str(FIRST + 3600))}
        form |= {"start": at, "end": at + RANGE, "step": STEP} if of_range else {"time": at}
        path = "query_range" if of_range else "query"
        theirs = (await self._prometheus.post(f"/api/v1/{path}", data=form)).json()
        return answer_of(theirs), await self.ask_ours(path, form)

    async def ask_ours(self, path: str, form: dict[str, Any]) -> Answer:
        response = await self._metrics.client.get(f"{API}/{path}?{urlencode(form)}", headers=self._headers)
        return answer_of(json.loads(await response.get_data()))

    async def difference(self, query: str, times: tuple[int, ...]) -> str | None:
        """The first of the evaluations in which the answers differ; None if all agree."""
        for at in times:
            for of_range in (False, True):
                theirs, ours = await self.ask(query, at, of_range=of_range)
                if not agree(theirs, ours):
                    return f"{query} at {at - FIRST} s, range {of_range}:\n  Prometheus {theirs}\n  ours {ours}"
        return None


def answer_of(document: dict[str, Any]) -> Answer:
    if document["status"] != "success":
        return Answer("error", [])
    data = document["data"]
    if data["resultType"] in ("scalar", "string"):
        return Answer(data["resultType"], [({"": str(data["result"])}, [])])
    found = [
        (one["metric"], [(float(time), float(value)) for time, value in one.get("values") or [one["value"]]])
        for one in data["result"]
    ]
    return Answer(data["resultType"], found)


def agree(first: Answer, second: Answer) -> bool:
    """Whether two answers have the same series, in any order, with the same times and values."""
    if first.kind != second.kind or len(first.series) != len(second.series):
        return False
    by_labels = {json.dumps(labels, sort_keys=True): points for labels, points in second.series}
    if len(by_labels) != len(second.series):
        return False  # two series have the same labels
    return all(
        same_points(points, by_labels.get(json.dumps(labels, sort_keys=True), [])) for labels, points in first.series
    )


def same_points(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> bool:
    """Whether times are the same, and values up to the last digits, which depend on the order of additions."""
    return [time for time, _ in first] == [time for time, _ in second] and all(
        math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
        for (_, one), (_, other) in zip(first, second, strict=True)
    )


def agreeing() -> list[tuple[str, str]]:
    """The queries of AGREEING, each with its section."""
    found, section = [], ""
    for line in AGREEING.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line and not line.startswith("# "):
            found.append((section, line))
    return found


def differing() -> list[str]:
    """The queries of the table in DOCUMENT."""
    rows = DOCUMENT.read_text().partition(TABLE)[2].split("\n\n", 1)[0].splitlines()
    return [query for row in rows for query in re.findall(r"`([^`]+)`", row.split(" | ")[-1])]


@pytest.fixture(scope="module")
async def both(metrics: RunningService, engine: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(missing)} of Debian's package prometheus are not installed")
    tenant, samples = new_tenant(), series()
    async with run_prometheus(tmp_path_factory.mktemp("prometheus"), as_open_metrics(FIRST, samples)) as prometheus:
        found = Both(prometheus, metrics, tenant)
        client = EngineClient(metrics.container.config, lambda: metrics.container.http)
        await client.write(as_import(FIRST, samples, tenant))
        everything = {"query": 'sum(count_over_time({__name__!=""}[1d]))', "time": FIRST + 14_400}

        async def is_there() -> bool:
            answer = await found.ask_ours("query", everything)
            return sum(points[0][1] for _, points in answer.series) == sum(len(one.values) for one in samples)

        await eventually(is_there, "all samples are in the engine")
        yield found


@pytest.mark.parametrize("section", TIMES)
async def test_queries_agree_with_those_of_prometheus(both: Both, section: str) -> None:
    queries = [query for place, query in agreeing() if place == section]
    assert len(queries) == len(set(queries)) > 10
    found = [await both.difference(query, TIMES[section]) for query in queries]
    assert not [difference for difference in found if difference is not None]


async def test_300_of_them_have_results(both: Both) -> None:
    """Two empty answers agree, whatever the query is."""
    assert len(agreeing()) > 350
    found = 0
    for section, query in agreeing():
        theirs, _ = await both.ask(query, TIMES[section][0], of_range=True)
        found += theirs.kind == "matrix" and len(theirs.series) > 0
    assert found > 300


async def test_the_documented_differences_are_ones(both: Both) -> None:
    queries = differing()
    assert len(queries) == len(set(queries)) > 30
    assert not set(queries) & {query for section, query in agreeing() if section == "At any time"}
    same = [query for query in queries if await both.difference(query, (AT_SAMPLES, BETWEEN)) is None]
    assert not same, "these agree: move them to agreeing_queries.txt"


def test_answers_that_differ_are_seen() -> None:
    one = Answer("vector", [({"a": "b"}, [(1.0, 2.0)])])
    assert agree(one, Answer("vector", [({"a": "b"}, [(1.0, 2.0 + 1e-12)])]))
    for other in (
        Answer("scalar", one.series),
        Answer("vector", []),
        Answer("vector", [({"a": "c"}, [(1.0, 2.0)])]),
        Answer("vector", [({"a": "b"}, [(1.0, 2.1)])]),
        Answer("vector", [({"a": "b"}, [(1.5, 2.0)])]),
        Answer("vector", [({"a": "b"}, [(1.0, math.nan)])]),
        Answer("vector", [*one.series, *one.series]),
    ):
        assert not agree(one, other)
    assert not agree(Answer("vector", one.series * 2), Answer("vector", one.series * 2))
