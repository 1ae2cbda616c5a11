"""Shapes of histograms over HTTP."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from quartet_audit.entries.filter_domain import Filters


class Bucket(Struct, frozen=True):
    """The entries from `start` on, one interval long. `values` has the count of each value of the dimension."""

    start: datetime
    count: int
    values: dict[str, int] | UnsetType = UNSET


class Histogram(Struct, frozen=True):
    """The buckets that have entries, in the order of time."""

    buckets: list[Bucket]


class HistogramParameters(Filters, frozen=True, kw_only=True):
    """The query string of `/audit/histogram`."""

    start: Annotated[str, Meta(description="RFC 3339 time of the event, inclusive.")] = field(name="from")
    end: Annotated[str, Meta(description="RFC 3339 time of the event, exclusive.")] = field(name="to")
    interval: Annotated[str, Meta(description="The length of a bucket: `minute`, `hour`, `day` or `week`.")] = "day"
    dimension: Annotated[
        str, Meta(description="Counts each value of it: `action`, `outcome`, `actor` or `resource_type`.")
    ] = ""
