"""The series of histograms and summaries: classic buckets, and those of VictoriaMetrics for exponential ones."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from quartet_metrics.ingest.point_domain import Component, Reason, RefusedError

COUNT: Final = Component("_count")
SUM: Final = Component("_sum")
INFINITY: Final = Component("_bucket", "le", "+Inf")
MAX_BUCKETS: Final = 2000
MIN_SCALE, MAX_SCALE = -10, 20
SCALE: Final = 2
"""The finest scale of stored buckets: four for each power of 2. A fixed scale keeps ranges when a sender changes its
own, and the counts stay exact: a coarser bucket is the sum of finer ones.
"""


class Buckets(NamedTuple):
    """One half of an exponential histogram: `counts` from the bucket with the index `offset` on."""

    offset: int
    counts: Sequence[int]


def histogram_components(
    count: int, total: float | None, bounds: Sequence[float], counts: Sequence[int]
) -> dict[Component, float]:
    """The series of a histogram with explicit bounds: `_count`, `_sum`, and cumulative `_bucket` with `le`.

    Raises RefusedError for counts that do not fit the bounds.
    """
    if len(counts) > MAX_BUCKETS or (counts and len(counts) != len(bounds) + 1):
        raise _bad(f"a histogram has a count for each of at most {MAX_BUCKETS - 1} bounds, and one more")
    if any(low >= high for low, high in pairwise(bounds)) or any(map(math.isnan, bounds)):
        raise _bad("the bounds of a histogram must ascend")
    found = _sums(count, total)
    for bound, until in zip(bounds, accumulate(counts), strict=False):
        found[Component("_bucket", "le", number_text(bound))] = float(until)
    found[INFINITY] = float(count)
    return found


def exponential_components(
    count: int, total: float | None, scale: int, zero: tuple[int, float], positive: Buckets, negative: Buckets
) -> dict[Component, float]:
    """The series of an exponential histogram: `_count`, `_sum`, and `_bucket` with `vmrange`, each with its own count.

    zero: the count of the zero bucket, and the largest value in it. Raises RefusedError for what no histogram has.
    """
    if not MIN_SCALE <= scale <= MAX_SCALE or max(len(positive.counts), len(negative.counts)) > MAX_BUCKETS:
        raise _bad(f"an exponential histogram has a scale of {MIN_SCALE} to {MAX_SCALE}, and {MAX_BUCKETS} buckets")
    if not 0 <= zero[1] < math.inf:
        raise _bad("the threshold of the zero bucket must be 0 or more")
    found, stored = _sums(count, total), min(scale, SCALE)
    if zero[0]:
        found[_range(0.0, zero[1])] = float(zero[0])
    for index, number in _merged(positive, scale - stored).items():
        found[_range(_bound(index, stored), _bound(index + 1, stored))] = float(number)
    for index, number in _merged(negative, scale - stored).items():
        found[_range(-_bound(index + 1, stored), -_bound(index, stored))] = float(number)
    return found


def summary_components(count: int, total: float, quantiles: Sequence[tuple[float, float]]) -> dict[Component, float]:
    """The series of a summary: `_count`, `_sum`, and one without a suffix for each quantile."""
    if len(quantiles) > MAX_BUCKETS:
        raise _bad(f"a summary has at most {MAX_BUCKETS} quantiles")
    found = _sums(count, total)
    for quantile, value in quantiles:
        found[Component("", "quantile", number_text(quantile))] = value
    return found


def number_text(number: float) -> str:
    """A bound as Prometheus writes it: `0.5`, `10`, `+Inf`."""
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _sums(count: int, total: float | None) -> dict[Component, float]:
    return {COUNT: float(count)} if total is None else {COUNT: float(count), SUM: total}


def _merged(buckets: Buckets, levels: int) -> Counter[int]:
    """The counts of the buckets of a scale that is coarser by so many `levels`, without those that are 0."""
    merged: Counter[int] = Counter()
    for index, number in enumerate(buckets.counts, buckets.offset):
        if number:
            merged[index >> levels] += number
    return merged


def _bound(index: int, scale: int) -> float:
    """The lower bound of a bucket; 0 and infinity beyond what a float can be."""
    exponent = math.ldexp(index, -scale)
    return 0.0 if exponent < -1074 else math.inf if exponent >= 1024 else math.pow(2.0, exponent)


def _range(low: float, high: float) -> Component:
    return Component("_bucket", "vmrange", f"{number_text(low)}...{number_text(high)}")


def _bad(rule: str) -> RefusedError:
    return RefusedError(Reason.BAD_POINT, f"{rule}. Check the sender.")
