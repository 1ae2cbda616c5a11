"""OTLP metrics as points: names, labels and series as the OpenTelemetry specification maps them to Prometheus."""

import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from quartet_common.core.validation_messages import shown
from quartet_metrics.ingest.histogram_domain import (
    COUNT,
    INFINITY,
    SUM,
    Buckets,
    exponential_components,
    histogram_components,
    number_text,
    summary_components,
)
from quartet_metrics.ingest.otlp_name_domain import label_name, metric_name, unit_name
from quartet_metrics.ingest.point_domain import (
    MAX_LABELS,
    MAX_NAME,
    STALE,
    WHOLE,
    Collected,
    Component,
    Point,
    Reason,
    RefusedError,
    check_name,
    check_time,
    labels_bytes,
)
from quartet_metrics.metadata.metadata_domain import sent_metadata

DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
NO_VALUE: Final = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
IDENTITY: Final = ("service.name", "service.namespace", "service.instance.id")
"""Attributes of a resource that become `job` and `instance`; the others are labels of target_info."""
BUCKETS: Final = ("le", "vmrange", "quantile")

Components = dict[Component, float]
Labels = dict[str, str]
Attributes = Sequence[KeyValue]


def read_points(request: ExportMetricsServiceRequest, now: int) -> Collected:
    """The points of a request; `now` is in milliseconds. Raises TooManySamplesError."""
    found = Collected()
    for resource in request.resource_metrics:
        before = len(found.points)
        attributes = resource.resource.attributes
        identity = _identity(attributes)
        for scope in resource.scope_metrics:
            own = {**_scope_labels(scope.scope, scope.schema_url), **identity}
            for metric in scope.metrics:
                _add_metric(found, metric, own, now)
        if len(found.points) > before:
            _add_target_info(found, attributes, identity, max(one.time for one in found.points[before:]))
    return found


def _add_metric(found: Collected, metric: Metric, own: Labels, now: int) -> None:
    """Add the points of a metric; a faulty one does not stop the others."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    try:
        is_delta = _is_delta(data, kind)
        name = _name(metric, kind)
    except RefusedError as error:
        found.refuse(error, len(data.data_points))
        return
    is_rising, read = kind == "sum" and data.is_monotonic, READERS[kind]
    found.metadata[name] = sent_metadata(_type(kind, is_rising=is_rising), unit_name(metric.unit), metric.description)
    for point in data.data_points:
        try:
            check_time(point.time_unix_nano // 1_000_000, now)
            labels = _labels(point.attributes, own, has_buckets=read is not _number)
            if not point.flags & NO_VALUE:
                components = read(point)
            elif is_delta:
                continue  # nothing was added
            else:
                components = _ended(read)
            if is_delta:
                _check_delta(name, components, is_rising=is_rising)
            found.add(
                Point(name, labels, point.time_unix_nano, components, point.start_time_unix_nano if is_delta else None)
            )
        except RefusedError as error:
            found.refuse(error)


def _is_delta(data: Any, kind: str) -> bool:
    """Whether points are deltas. Raises RefusedError if the metric does not say it."""
    if kind in ("gauge", "summary"):
        return False
    if data.aggregation_temporality not in (DELTA, CUMULATIVE):
        raise RefusedError(Reason.BAD_POINT, "aggregation_temporality must be 1 (delta) or 2 (cumulative).")
    return bool(data.aggregation_temporality == DELTA)


def _name(metric: Metric, kind: str) -> str:
    for text in (metric.name, metric.unit):
        _check_length(text)
    is_counter = kind == "sum" and metric.sum.is_monotonic
    return check_name(metric_name(metric.name, metric.unit, is_counter=is_counter, is_gauge=kind == "gauge"))


def _type(kind: str, *, is_rising: bool) -> str:
    """The type of a metric in Prometheus."""
    if kind == "sum":
        return "counter" if is_rising else "gauge"
    return "histogram" if kind == "exponential_histogram" else kind


def _check_delta(name: str, components: Components, *, is_rising: bool) -> None:
    """Raises RefusedError for an amount that would spoil the total."""
    if not all(map(math.isfinite, components.values())) or (is_rising and components[WHOLE] < 0):
        raise RefusedError(Reason.BAD_POINT, f"a delta of {name} is negative or no number. Check the sender.")


def _number(point: NumberDataPoint) -> Components:
    kind = point.WhichOneof("value")
    if kind is None:
        raise RefusedError(Reason.BAD_POINT, "a point needs as_int or as_double, or the flag for no recorded value.")
    return {WHOLE: point.as_double if kind == "as_double" else float(point.as_int)}


def _histogram(point: HistogramDataPoint) -> Components:
    total = point.sum if point.HasField("sum") else None
    return histogram_components(point.count, total, point.explicit_bounds, point.bucket_counts)


def _exponential(point: ExponentialHistogramDataPoint) -> Components:
    return exponential_components(
        point.count,
        point.sum if point.HasField("sum") else None,
        point.scale,
        (point.zero_count, point.zero_threshold),
        Buckets(point.positive.offset, point.positive.bucket_counts),
        Buckets(point.negative.offset, point.negative.bucket_counts),
    )


def _summary(point: SummaryDataPoint) -> Components:
    return summary_components(point.count, point.sum, [(one.quantile, one.value) for one in point.quantile_values])


READERS: Final[Mapping[str, Callable[[Any], Components]]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}


def _ended(read: Callable[[Any], Components]) -> Components:
    """The series of a point without a value: they end."""
    if read is _number:
        return {WHOLE: STALE}
    return {COUNT: STALE, SUM: STALE} | ({INFINITY: STALE} if read is _histogram else {})


def _labels(attributes: Attributes, own: Labels, *, has_buckets: bool) -> bytes:
    """The bytes of the labels of a point: its attributes, then those of scope and resource. Raises RefusedError."""
    found = _label_values(attributes)
    found.update(own)
    if has_buckets:
        for name in BUCKETS:
            if name in found:
                raise RefusedError(Reason.RESERVED_LABEL, f"a histogram or summary cannot have the attribute {name}.")
    return labels_bytes(found)


def _label_values(attributes: Attributes) -> Labels:
    """Labels of attributes; the values of attributes whose labels are equal are joined in the order of their keys."""
    if len(attributes) > MAX_LABELS:
        raise RefusedError(
            Reason.TOO_MANY_LABELS, f"there may be {MAX_LABELS} attributes, got {len(attributes)}. Remove some."
        )
    found: Labels = {}
    joined: dict[str, list[tuple[str, str]]] = {}
    for attribute in attributes:
        key, value = attribute.key, attribute.value
        _check_length(key)
        if key.startswith("__"):
            raise RefusedError(Reason.RESERVED_LABEL, f"attributes that begin with __ are reserved, got {shown(key)}.")
        name, text = label_name(key), value.string_value or _text(value)
        if name in joined:
            joined[name].append((key, text))
        elif name in found:
            other = next(one.key for one in attributes if label_name(one.key) == name)
            joined[name] = [(other, found[name]), (key, text)]
        found[name] = text
    for name, values in joined.items():
        found[name] = ";".join(text for _, text in sorted(values))
    return found


def _text(value: AnyValue) -> str:
    """The text of a value: of a list, a map and bytes as JSON."""
    kind = value.WhichOneof("value")
    if kind == "string_value" or kind is None:
        return value.string_value
    if kind == "double_value":
        return number_text(value.double_value) if not math.isnan(value.double_value) else "NaN"
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: _plain(one.value) for one in value.kvlist_value.values}
    if kind == "bytes_value":
        return b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)


def _identity(attributes: Attributes) -> Labels:
    """`job` and `instance` of a resource."""
    known = {one.key: _text(one.value) for one in attributes if one.key in IDENTITY}
    name, namespace, instance = (known.get(key, "") for key in IDENTITY)
    job = f"{namespace}/{name}" if name and namespace else name
    return {label: value for label, value in (("job", job), ("instance", instance)) if value}


def _scope_labels(scope: InstrumentationScope, schema_url: str) -> Labels:
    """The labels of the instrumentation scope."""
    given = {"name": scope.name, "version": scope.version, "schema_url": schema_url}
    found = {f"otel_scope_{name}": value for name, value in given.items() if value}
    for attribute in scope.attributes[: MAX_LABELS + 1]:  # with one more, each point has too many labels
        found.setdefault(f"otel_scope_{label_name(attribute.key[: MAX_NAME + 1])}", _text(attribute.value))
    return found


def _add_target_info(found: Collected, attributes: Attributes, identity: Labels, time: int) -> None:
    """Add the attributes of a resource as labels of a series, if it has other attributes and an identity."""
    others = [one for one in attributes if one.key not in IDENTITY]
    if not others or not identity:
        return
    try:
        labels = labels_bytes({**_label_values(others), **identity})
        found.add(Point("target_info", labels, time, {WHOLE: 1.0}, weight=0))
    except RefusedError as error:
        found.refuse(RefusedError(error.reason, f"target_info: {error.detail}"), 0)


def _check_length(text: str) -> None:
    if len(text) > MAX_NAME:
        raise RefusedError(Reason.TOO_LONG, f"a name has at most {MAX_NAME} bytes, got {shown(text)}.")
