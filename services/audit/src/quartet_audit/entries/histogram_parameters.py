"""Parameters: reads the query string of `/audit/histogram` and names what is wrong in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.filter_domain import FILTERS, read_filters
from quartet_common.core.validation_messages import shown
from quartet_common.web.query_parameters import BadParameterError, read_given

INTERVALS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
DEFAULT_INTERVAL = "day"
DIMENSIONS = ("action", "outcome", "actor", "resource_type")
NAMES = (*FILTERS, "interval", "dimension")
MAX_BUCKETS = 1500
"""Buckets of one histogram: a day of minutes, two months of hours, four years of days."""


@dataclass(frozen=True)
class HistogramSearch:
    """The entries that `search` finds, whatever its order and limit, by `interval` and by the values of `dimension`."""

    search: Search
    interval: str
    dimension: str | None


def read_histogram(parameters: Mapping[str, Sequence[str]]) -> HistogramSearch:
    """The question in `parameters`; an empty value is as good as none. Raises BadRequestError (400)."""
    given = read_given(parameters, NAMES)
    for name in ("from", "to"):
        if name not in given:
            raise BadParameterError(name, "must be given: an RFC 3339 time such as 2026-01-31T09:00:00Z")
    interval = _one_of("interval", given.get("interval", DEFAULT_INTERVAL), tuple(INTERVALS))
    dimension = _one_of("dimension", given["dimension"], DIMENSIONS) if "dimension" in given else None
    search = read_filters(given)
    buckets = (search.before.time - search.after.time) // INTERVALS[interval] + 1
    if buckets > MAX_BUCKETS:
        rule = f"{shown(interval)} gives {buckets} buckets from {given['from']} to {given['to']}"
        raise BadParameterError("interval", f"{rule}; at most {MAX_BUCKETS} are allowed. Use a longer one")
    return HistogramSearch(search, interval, dimension)


def _one_of(name: str, text: str, allowed: Sequence[str]) -> str:
    if text not in allowed:
        raise BadParameterError(name, f"must be one of {', '.join(allowed)}, got {shown(text)}")
    return text
