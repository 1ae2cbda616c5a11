"""Shapes of OTLP requests and responses in JSON, for their description."""

from typing import Annotated, Any

from msgspec import Meta, Struct


class MetricsRequest(Struct, frozen=True, rename="camel"):
    """An ExportMetricsServiceRequest of OTLP 1."""

    resource_metrics: Annotated[list[dict[str, Any]], Meta(description="Metrics by resource and scope.")]


class PartialSuccess(Struct, frozen=True, rename="camel"):
    """What was refused; missing if everything was taken."""

    rejected_data_points: Annotated[str, Meta(description="The number of refused points.")]
    error_message: Annotated[str, Meta(description="The reasons, each with its number and an example.")]


class MetricsAnswer(Struct, frozen=True, rename="camel"):
    """An ExportMetricsServiceResponse of OTLP 1."""

    partial_success: PartialSuccess | None = None
