"""Shapes of requests and responses of the Prometheus API, for its description."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from quartet_metrics.metadata.metadata_domain import Metadata

TIME = "seconds since 1970, or an RFC 3339 time"


class InstantParameters(Struct, frozen=True, kw_only=True):
    """The parameters of `/query`, in the query string or in a form."""

    query: Annotated[str, Meta(description="PromQL or MetricsQL, at most 16 KiB. Required.")] = ""
    time: Annotated[str, Meta(description=f"The time of evaluation: {TIME}. Default: now.")] = ""
    timeout: Annotated[str, Meta(description="The longest evaluation, such as 5s; at most 10 s, the default.")] = ""


class RangeParameters(Struct, frozen=True, kw_only=True):
    """The parameters of `/query_range`, in the query string or in a form."""

    query: Annotated[str, Meta(description="PromQL or MetricsQL, at most 16 KiB. Required.")] = ""
    start: Annotated[str, Meta(description=f"The first time: {TIME}. Required.")] = ""
    end: Annotated[str, Meta(description=f"The last time: {TIME}. Required.")] = ""
    step: Annotated[str, Meta(description="The distance of points: seconds, or a duration such as 1h. Required.")] = ""
    timeout: Annotated[str, Meta(description="The longest evaluation, such as 5s; at most 10 s, the default.")] = ""


class SelectionParameters(Struct, frozen=True, kw_only=True):
    """The parameters of requests about series and labels, in the query string or in a form."""

    match: Annotated[list[str], Meta(description="Selectors of series; /series needs one.")] = field(
        name="match[]", default_factory=list
    )
    start: Annotated[str, Meta(description=f"The first time: {TIME}.")] = ""
    end: Annotated[str, Meta(description=f"The last time: {TIME}.")] = ""
    limit: Annotated[str, Meta(description="The largest number of results; 0 or none: all.")] = ""


class MetadataParameters(Struct, frozen=True, kw_only=True):
    """The query string of `/metadata`."""

    metric: Annotated[str, Meta(description="The name of a metric. Default: all.")] = ""
    limit: Annotated[str, Meta(description="The largest number of metrics; 0 or none: all.")] = ""
    limit_per_metric: Annotated[str, Meta(description="Accepted for clients that send it; a metric has one entry.")] = (
        ""
    )


class Result(Struct, frozen=True, rename="camel"):
    """The result of a query: series with `metric`, and `value` or `values`."""

    result_type: Literal["vector", "matrix"]
    result: list[dict[str, Any]]


class ResultAnswer(Struct, frozen=True):
    """The response of `/query` and `/query_range`."""

    status: Literal["success"]
    data: Result


class SeriesAnswer(Struct, frozen=True):
    """The response of `/series`."""

    status: Literal["success"]
    data: list[dict[str, str]]


class LabelAnswer(Struct, frozen=True):
    """The response of requests about labels."""

    status: Literal["success"]
    data: list[str]


class MetadataAnswer(Struct, frozen=True):
    """The response of `/metadata`."""

    status: Literal["success"]
    data: dict[str, list[dict[str, str]]]


class BuildAnswer(Struct, frozen=True):
    """The response of `/status/buildinfo`."""

    status: Literal["success"]
    data: dict[str, str]


def metadata_document(found: Mapping[str, Metadata]) -> dict[str, list[dict[str, str]]]:
    """Type, unit and meaning of metrics, by name."""
    return {name: [one._asdict()] for name, one in found.items()}
