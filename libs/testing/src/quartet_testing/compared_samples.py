"""The samples that a real Prometheus and our Prometheus API both get, to compare what they answer."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

INTERVAL = 30
"""Seconds between two samples of a series."""
SAMPLES = 361
"""Samples of a series that has all: three hours."""
PLACES = range(SAMPLES)
BOUNDS = ("0.1", "0.5", "1", "5", "+Inf")
RESET = 200
"""The sample at which one counter begins again."""


@dataclass(frozen=True)
class Series:
    """A series: its labels with `__name__`, and its values at places 0 to 360, of which some may be missing."""

    labels: dict[str, str]
    values: dict[int, float] = field(repr=False)


def first_time() -> int:
    """06:00 UTC of yesterday, in seconds since 1970: both keep it, and it is a multiple of every step."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return int(yesterday.replace(hour=6, minute=0, second=0, microsecond=0).timestamp())


def series() -> list[Series]:
    """All series."""
    return [*_counters(), *_gauges(), *_histograms(), *_with_gaps()]


def as_open_metrics(first: int, found: list[Series]) -> str:
    """The samples for `promtool tsdb create-blocks-from openmetrics`."""
    lines = [
        f"{_selector(one)} {value!r} {first + place * INTERVAL}\n"
        for one in found
        for place, value in one.values.items()
    ]
    return "".join(lines) + "# EOF\n"


def as_import(first: int, found: list[Series], tenant: str) -> bytes:
    """The same samples for the engine, as series of `tenant`."""
    lines = []
    for one in found:
        times = [(first + place * INTERVAL) * 1000 for place in one.values]
        document = {"metric": one.labels | {"tenant": tenant}, "values": [*one.values.values()], "timestamps": times}
        lines.append(json.dumps(document))
    return "\n".join(lines).encode()


def _counters() -> Iterator[Series]:
    for number, (job, instance, code) in enumerate(product(("api", "worker"), ("a", "b"), ("200", "404", "500"))):
        begins_again = RESET if number == 5 else SAMPLES
        values = [3 * (12 - number) * (place % begins_again) for place in PLACES]
        yield _regular("requests_total", values, job=job, instance=instance, code=code)


def _gauges() -> Iterator[Series]:
    for number, (room, floor) in enumerate((("attic", "2"), ("hall", "1"), ("kitchen", "1"), ("cellar", "0"))):
        degrees = [(place * (7 + 2 * number) % 41 - 10) / 4 + number for place in PLACES]
        yield _regular("temperature", degrees, room=room, floor=floor)
        yield _regular("limit", [4 + number] * SAMPLES, room=room, floor=floor)
        yield _regular("room_info", [1] * SAMPLES, room=room, owner=f"team {number % 2}")
    yield _regular("window_open", [place // 20 % 2 for place in PLACES], room="hall")
    yield _regular("rising", [5 + 0.5 * place for place in PLACES])


def _histograms() -> Iterator[Series]:
    for growth, job in ((2, "api"), (3, "worker")):
        for number, bound in enumerate(BOUNDS):
            counts = [(number + 1) * growth * place for place in PLACES]
            yield _regular("latency_seconds_bucket", counts, job=job, le=bound)
        yield _regular("latency_seconds_count", [len(BOUNDS) * growth * place for place in PLACES], job=job)
        yield _regular("latency_seconds_sum", [1.5 * growth * place for place in PLACES], job=job)


def _with_gaps() -> Iterator[Series]:
    yield Series({"__name__": "ended"}, {place: float(place) for place in range(190)})
    yield Series({"__name__": "began"}, {place: float(place) for place in range(150, SAMPLES)})
    yield Series({"__name__": "rare"}, {place: float(place) for place in range(0, SAMPLES, 20)})


def _regular(name: str, values: Sequence[float], **labels: str) -> Series:
    return Series({"__name__": name, **labels}, dict(enumerate(map(float, values))))


def _selector(one: Series) -> str:
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in one.labels.items() if name != "__name__")
    return f"{one.labels['__name__']}{{{labels}}}" if labels else one.labels["__name__"]
