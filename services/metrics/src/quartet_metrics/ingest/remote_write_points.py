"""Prometheus remote write 1.0 as points; its messages are defined here, since no kept package has them."""

from contextlib import suppress
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from quartet_metrics.ingest.point_domain import (
    WHOLE,
    Collected,
    Point,
    Reason,
    RefusedError,
    check_name,
    check_time,
    labels_bytes,
)
from quartet_metrics.metadata.metadata_domain import MAX_METRICS, sent_metadata

NAME: Final = "__name__"
_OPTIONAL, _REPEATED = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
_DOUBLE, _INT32, _INT64 = (
    FieldDescriptorProto.TYPE_DOUBLE,
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_INT64,
)
_STRING, _BYTES, _MESSAGE = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_MESSAGE,
)
MESSAGES: Final = {
    "Label": [("name", 1, _STRING, ""), ("value", 2, _STRING, "")],
    "Sample": [("value", 1, _DOUBLE, ""), ("timestamp", 2, _INT64, "")],
    "TimeSeries": [
        ("labels", 1, _MESSAGE, "Label"),
        ("samples", 2, _MESSAGE, "Sample"),
        ("histograms", 4, _BYTES, "*"),
    ],
    "MetricMetadata": [
        ("type", 1, _INT32, ""),
        ("metric_family_name", 2, _STRING, ""),
        ("help", 4, _STRING, ""),
        ("unit", 5, _STRING, ""),
    ],
    "WriteRequest": [("timeseries", 1, _MESSAGE, "TimeSeries"), ("metadata", 3, _MESSAGE, "MetricMetadata")],
}
"""Fields of prometheus.WriteRequest: name, number, type and message, `*` for a list. Others, such as exemplars, are
skipped.
"""
TYPES: Final = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
"""The types of metrics by their numbers in a MetricMetadata."""


def _write_request() -> Any:
    file = FileDescriptorProto(name="remote_write.proto", package="prometheus", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = DescriptorProto(name=name)
        for field, number, kind, of in fields:
            added = message.field.add(name=field, number=number, type=kind, label=_REPEATED if of else _OPTIONAL)
            if kind == _MESSAGE:
                added.type_name = f".prometheus.{of}"
        file.message_type.append(message)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


WriteRequest: Final = _write_request()


def read_points(request: Any, now: int) -> Collected:
    """The samples of a WriteRequest; `now` is in milliseconds. Raises TooManySamplesError."""
    found = Collected()
    for series in request.timeseries:
        if series.histograms:
            detail = "native histograms cannot be stored. Send classic ones, with send_native_histograms: false."
            found.refuse(RefusedError(Reason.UNSUPPORTED, detail), len(series.histograms))
        if not series.samples:
            continue
        try:
            name, labels = _labels_of(series)
        except RefusedError as error:
            found.refuse(error, len(series.samples))
            continue
        for sample in series.samples:
            try:
                check_time(sample.timestamp, now)
                found.add(Point(name, labels, sample.timestamp * 1_000_000, {WHOLE: sample.value}))
            except RefusedError as error:
                found.refuse(error)
    _add_metadata(found, request)
    return found


def _add_metadata(found: Collected, request: Any) -> None:
    """Add the metadata of metrics; it is no sample, so what has an invalid name is left out."""
    for one in request.metadata[:MAX_METRICS]:
        kind = TYPES[one.type] if 0 <= one.type < len(TYPES) else TYPES[0]
        with suppress(RefusedError):
            found.metadata[check_name(one.metric_family_name)] = sent_metadata(kind, one.unit, one.help)


def _labels_of(series: Any) -> tuple[str, bytes]:
    """The name and the other labels of a series. Raises RefusedError."""
    labels = {one.name: one.value for one in series.labels}
    if len(labels) != len(series.labels):
        raise RefusedError(Reason.BAD_LABEL, "a series has the same label twice. Check the sender.")
    return check_name(labels.pop(NAME, "")), labels_bytes(labels)
