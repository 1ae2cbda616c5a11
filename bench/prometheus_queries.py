"""What queries of the Prometheus API cost, with 50,000,000 samples in the engine, and what of that is the tenant wall.

`.venv/bin/python bench/prometheus_queries.py [SAMPLES] [ROUNDS]` makes a stack of its own and removes it. The engine
gets 30 days of series with a sample each minute, as the writer makes them: 100 of one tenant, which are queried, and
all others of ten more tenants; and 100 series of the queried tenant with a sample each hour, as a rebuild leaves them
before the last 7 days. Then each query is sent in turns to the engine itself, to the service, and to the service
through the proxy. The wall is the difference of the first two in one round.

Printed: the time and the disk space of the import; p50 and p99 in ms; the median of the wall; ms of CPU that a request
takes in the service, which other load changes least; the largest memory of the engine, without mapped files. Load
average and calibration, the ms for hashing 64 MB, are those after the line.
"""

import asyncio
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.faults import pids
from quartet_testing.limits import WIDE
from quartet_testing.services import direct

TENANT, OTHERS = "bench", [f"bench-{number}" for number in range(10)]
SERIES, DAYS = 100, 30
MINUTES, HOURS = DAYS * 1440, DAYS * 24
END = int(time.time()) // 3600 * 3600
LINES = 4
"""Series of one import, about 4 MB."""
SENDERS = 2
PATIENCE = 60.0
"""Seconds after the import until all samples are visible."""
API = "/metrics/prometheus/api/v1"
SPAN = {"start": str(END - DAYS * 86_400), "end": str(END), "step": "3600"}


class Query(NamedTuple):
    """A query, whether it is over the range of 30 days, and the number of series of its result."""

    text: str
    is_range: bool
    series: int


QUERIES = (
    Query("hourly", True, SERIES),
    Query("measured_total", True, SERIES),
    Query("increase(measured_total[1h])", True, SERIES),
    Query("sum(increase(measured_total[1h]))", True, 1),
    Query("sum(measured_total)", False, 1),
)


@dataclass
class Times:
    """Seconds of each round, by target, and the bytes of the last response."""

    engine: list[float] = field(default_factory=list)
    service: list[float] = field(default_factory=list)
    proxy: list[float] = field(default_factory=list)
    size: int = 0
    cpu: float = 0.0
    """Seconds of CPU of a request in the service."""


def numbers(values: Iterable[int]) -> str:
    """The inside of a JSON array."""
    return ",".join(map(str, values))


def lines_of(samples: int) -> Iterator[str]:
    """The lines of the import."""
    minutes = numbers((END - DAYS * 86_400 + 60 * place) * 1000 for place in range(MINUTES))
    hours = numbers((END - DAYS * 86_400 + 3600 * place) * 1000 for place in range(HOURS))
    chosen = random.Random(13)  # noqa: S311  # nosec B311  # the same samples in each run
    growths = [numbers(accumulate(chosen.choices(range(10), k=MINUTES))) for _ in range(10)]
    few = numbers(range(HOURS))
    for number in range(SERIES):
        yield line("hourly", TENANT, number, few, hours)
    for number in range(round(samples / MINUTES)):
        tenant = TENANT if number < SERIES else OTHERS[number % len(OTHERS)]
        yield line("measured_total", tenant, number, growths[number % len(growths)], minutes)


def line(name: str, tenant: str, number: int, values: str, times: str) -> str:
    """The samples of a series."""
    labels = json.dumps({"__name__": name, "tenant": tenant, "number": str(number), "kind": f"kind {number % 5}"})
    return f'{{"metric":{labels},"values":[{values}],"timestamps":[{times}]}}\n'


class Bench:
    """A stack with an engine that is full, and clients of the engine, the service and the proxy."""

    def __init__(self, stack: Stack) -> None:
        environment = stack.environment("metrics", "api")
        password = (stack.home.secrets / "victoria-metrics" / "password").read_text()
        self._engine_url = environment["QUARTET_METRICS_ENGINE_URL"]
        self._service_url, self._proxy_url = direct(stack, API), f"{stack.url}{API}"
        self._headers = {"Authorization": f"Bearer {stack.token(TENANT)}"}
        self._engine = httpx.AsyncClient(auth=("quartet", password), timeout=60)
        self._own = httpx.AsyncClient(timeout=60)
        self._process = psutil.Process(pids(stack)["victoria-metrics"])
        self._service = psutil.Process(pids(stack)["metrics-api"])
        self.largest = 0.0
        """The largest memory of the engine in MB."""

    async def fill(self, samples: int) -> None:
        """Import everything, by SENDERS requests at a time."""
        rest = lines_of(samples)

        async def send() -> None:
            while body := "".join(islice(rest, LINES)):
                response = await self._engine.post(f"{self._engine_url}/api/v1/import", content=body.encode())
                response.raise_for_status()
                self.look()

        await asyncio.gather(*(send() for _ in range(SENDERS)))

    async def count(self) -> int:
        """The samples of measured_total that the engine has."""
        form = {"query": f"sum(count_over_time(measured_total[{DAYS + 1}d]))", "time": str(END), "nocache": "1"}
        answer = await self._engine.post(f"{self._engine_url}/api/v1/query", data=form)
        result = answer.json()["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    async def measure(self, query: Query, rounds: int) -> Times:
        """Send the query to all targets in each round; the first round is not measured."""
        times = Times()
        path = "query_range" if query.is_range else "query"
        form = {"query": query.text, **(SPAN if query.is_range else {"time": str(END)})}
        filtered = {**form, "timeout": "10s", "nocache": "1", "extra_filters[]": f'{{tenant="{TENANT}"}}'}
        plain = {"Accept-Encoding": "identity"}
        used = 0.0
        for turn in range(rounds + 1):
            if turn == 1:
                used = self._cpu()
            targets = [
                (times.engine, self._engine, f"{self._engine_url}/api/v1/{path}", filtered, plain),
                (times.service, self._own, f"{self._service_url}/{path}", form, self._headers | plain),
                (times.proxy, self._own, f"{self._proxy_url}/{path}", form, self._headers | plain),
            ]
            for seconds, client, url, sent, headers in targets:
                begun = time.perf_counter()
                response = await client.post(url, data=sent, headers=headers)
                took = time.perf_counter() - begun
                assert response.status_code == 200, response.text
                if turn == 0:
                    assert len(response.json()["data"]["result"]) == query.series, response.text[:500]
                    continue
                seconds.append(took)
                times.size = len(response.content)
            self.look()
        times.cpu = (self._cpu() - used) / (2 * rounds)
        return times

    def _cpu(self) -> float:
        """Seconds of CPU that the service has used."""
        spent = self._service.cpu_times()
        return spent.user + spent.system

    def look(self) -> None:
        """Note the memory of the engine, without mapped files, which the system takes back when it needs it."""
        memory = self._process.memory_info()
        self.largest = max(self.largest, (memory.rss - memory.shared) / 1e6)

    async def disk(self) -> float:
        """MB of the engine's data, as it counts them."""
        text = (await self._engine.get(f"{self._engine_url}/metrics")).text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("vm_data_size_bytes")) / 1e6


def calibration() -> float:
    """Milliseconds for a fixed amount of work: the same machine without other load always takes the same."""
    begun = time.perf_counter()
    hashlib.sha256(bytes(64_000_000)).digest()
    return (time.perf_counter() - begun) * 1000


def state() -> str:
    """The load average and the calibration."""
    return f"load {os.getloadavg()[0]:.1f}, calibration {calibration():.0f} ms"


def points(values: Sequence[float]) -> str:
    """p50 and p99 in milliseconds."""
    ordered = sorted(values)
    last = ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]
    return f"{statistics.median(ordered) * 1000:8.1f}{last * 1000:8.1f}"


async def run(stack: Stack, samples: int, rounds: int) -> None:
    """Fill the engine, measure and report."""
    bench = Bench(stack)
    bench.look()
    print(f"engine at the start: {bench.largest:.0f} MB of memory; {state()}", flush=True)
    begun = time.perf_counter()
    await bench.fill(samples)
    took = time.perf_counter() - begun
    while (found := await bench.count()) < (expected := round(samples / MINUTES) * MINUTES):
        if time.perf_counter() - begun > took + PATIENCE:
            raise SystemExit(f"the engine shows {found:,} of {expected:,} samples")
        await asyncio.sleep(1)
    print(f"{found:,} samples imported in {took:.0f} s, {await bench.disk():.0f} MB on disk; {state()}", flush=True)
    print(f"engine at most, until here: {bench.largest:.0f} MB of memory")
    print(f"{'ms, p50 and p99':<36}{'MB':>6}{'engine':>16}{'service':>16}{'proxy':>16}{'wall':>8}{'CPU':>8}")
    bench.largest = 0.0
    for query in QUERIES:
        times = await bench.measure(query, rounds)
        wall = statistics.median(one - other for one, other in zip(times.service, times.engine, strict=True)) * 1000
        cells = f"{points(times.engine)}{points(times.service)}{points(times.proxy)}{wall:8.1f}{times.cpu * 1000:8.1f}"
        print(f"{query.text:<36}{times.size / 1e6:6.2f}{cells}   {state()}", flush=True)
    print(f"engine at most, from then on: {bench.largest:.0f} MB of memory")


def main() -> None:
    """Read the command line and measure."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.up()
            asyncio.run(run(stack, samples, rounds))
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    main()
