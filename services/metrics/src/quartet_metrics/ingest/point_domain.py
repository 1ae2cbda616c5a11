"""Points from applications: their series, what is refused and why, the bytes for the engine; no I/O.

Series are kept as the bytes of remote write's `TimeSeries`: fields of a protobuf message can be concatenated.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from quartet_common.core.errors import ServiceError, code_of
from quartet_common.core.validation_messages import shown
from quartet_metrics.engine.engine_domain import TENANT
from quartet_metrics.metadata.metadata_domain import Metadata

MAX_LABELS: Final = 26
"""Labels of a series besides name, bucket and tenant: the engine drops those beyond 30."""
MAX_NAME, MAX_VALUE = 200, 1024
"""Maximum lengths of a name and of the value of a label in bytes."""
FUTURE, PAST = 10 * 60 * 1000, 24 * 3600 * 1000
"""How far a point may be from now, in milliseconds."""
MAX_SIZE: Final = 24 * 1024 * 1024
"""Maximum size of the samples of a request in bytes: each has all labels of its series. The engine takes 32 MB."""
SAMPLE_SIZE: Final = 250
"""What a sample needs besides the labels of its sender."""
RESERVED: Final = "quartet_"
METRIC_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
STALE: Final = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""Prometheus' value that ends a series; only its bytes tell it from other values that are no number."""


class Reason(StrEnum):
    """Why a point is refused; the label `reason` of the metric that counts them."""

    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    BAD_POINT = "bad_point"
    BAD_NAME = "bad_name"
    RESERVED_NAME = "reserved_name"
    RESERVED_LABEL = "reserved_label"
    BAD_LABEL = "bad_label"
    TOO_MANY_LABELS = "too_many_labels"
    TOO_LONG = "too_long"
    UNSUPPORTED = "unsupported"
    OUT_OF_ORDER = "out_of_order"
    SERIES_LIMIT = "series_limit"
    RATE_LIMIT = "rate_limit"


class TooManySamplesError(ServiceError):
    """413: the samples of a request would have more than MAX_SIZE bytes for the engine."""

    def __init__(self) -> None:
        detail = f"The request has more than {MAX_SIZE} bytes of series and samples. Send fewer points at a time."
        super().__init__(413, code_of(413), detail)


class RefusedError(Exception):
    """A point is refused for `reason`; `detail` says what is wrong and what to do."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Component(NamedTuple):
    """One series of a point: what its name ends in, and the label that its buckets or quantiles have."""

    suffix: str = ""
    label: str = ""
    value: str = ""


WHOLE: Final = Component()
"""The only component of a number."""


@dataclass(slots=True)
class Point:
    """A point of an application: the values of its series at `time`, in nanoseconds since 1970.

    labels: the bytes of all labels but the name. start: since when a delta counts, in nanoseconds; None unless it is a
    delta. weight: 0 for what no sender has sent as a point: target_info. key, series_keys: digests that identify name
    and labels, and each series, in the tenant.
    """

    name: str
    labels: bytes
    time: int
    components: dict[Component, float]
    start: int | None = None
    weight: int = 1
    key: bytes = b""
    series_keys: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = _digest(self.name.encode() + b"\0" + self.labels)
        self.series_keys = [
            self.key if one == WHOLE else _digest(self.key + "\0".join(one).encode()) for one in self.components
        ]


@dataclass
class Refusals:
    """How many points were refused, by reason, and the first detail of each."""

    counts: Counter[Reason] = field(default_factory=Counter)
    details: dict[Reason, str] = field(default_factory=dict)

    def add(self, error: RefusedError, points: int = 1) -> None:
        """Count `points` that were refused for one reason; 0 for what no sender has sent as a point."""
        self.counts[error.reason] += points
        self.details.setdefault(error.reason, error.detail)

    @property
    def total(self) -> int:
        """The number of all refused points."""
        return self.counts.total()

    def text(self) -> str:
        """How many points were refused for which reasons, for people; empty if none was."""
        counted = ((self.counts[reason], reason, detail) for reason, detail in self.details.items())
        return " ".join(f"{number} refused ({reason}): {detail}" for number, reason, detail in counted)


def check_name(name: str) -> str:
    """The name of a metric. Raises RefusedError."""
    if len(name) > MAX_NAME:
        raise RefusedError(Reason.TOO_LONG, f"a metric's name has at most {MAX_NAME} bytes, got {shown(name)}.")
    if METRIC_NAME.fullmatch(name) is None:
        raise RefusedError(
            Reason.BAD_NAME,
            f"the name of a metric has letters, digits, _ and :, and no digit first, got {shown(name)}.",
        )
    if name.startswith(RESERVED):
        raise RefusedError(
            Reason.RESERVED_NAME, f"names with {RESERVED} in front are those of Quartet, got {shown(name)}."
        )
    return name


def labels_bytes(labels: Mapping[str, str]) -> bytes:
    """The bytes of all labels with a value, sorted by name. Raises RefusedError."""
    present = sorted(label for label in labels.items() if label[1])
    if len(present) > MAX_LABELS:
        raise RefusedError(
            Reason.TOO_MANY_LABELS, f"a series has at most {MAX_LABELS} labels, got {len(present)}. Remove attributes."
        )
    return b"".join([label_bytes(name, value) for name, value in present])


@lru_cache(16_384)
def label_bytes(name: str, value: str) -> bytes:
    """The bytes of a label of a sender. Raises RefusedError."""
    if len(name) > MAX_NAME or len(value) > MAX_VALUE or len(value.encode()) > MAX_VALUE:
        raise RefusedError(
            Reason.TOO_LONG,
            f"a label has at most {MAX_NAME} bytes of name and {MAX_VALUE} of value, got {shown(name)}={shown(value)}.",
        )
    if LABEL_NAME.fullmatch(name) is None:
        raise RefusedError(
            Reason.BAD_LABEL, f"a label's name has letters, digits and _, and begins with no digit, got {shown(name)}."
        )
    if name == TENANT or name.startswith("__"):
        raise RefusedError(Reason.RESERVED_LABEL, f"the label {shown(name)} is reserved. Rename it.")
    return _label(name, value)


def check_time(time: int, now: int) -> None:
    """Check a time in milliseconds. Raises RefusedError."""
    if time > now + FUTURE:
        raise RefusedError(
            Reason.IN_FUTURE, f"a point may be {FUTURE // 60_000} minutes in the future, got {time} ms. Set the clock."
        )
    if time < now - PAST:
        raise RefusedError(Reason.TOO_OLD, f"a point may be {PAST // 3_600_000} hours old, got {time} ms since 1970.")


class Collected:
    """The points of a request, and what is refused of it; both use up the size that a request may need. `metadata` is
    that of its metrics by name.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.metadata: dict[str, Metadata] = {}
        self.refused = Refusals()
        self._size = 0

    def add(self, point: Point) -> None:
        """Add a point. Raises TooManySamplesError."""
        self._use((SAMPLE_SIZE + len(point.labels)) * len(point.components))
        self.points.append(point)

    def refuse(self, error: RefusedError, points: int = 1) -> None:
        """Add refused points. Raises TooManySamplesError."""
        self._use(SAMPLE_SIZE * points)
        self.refused.add(error, points)

    def _use(self, size: int) -> None:
        self._size += size
        if self._size > MAX_SIZE:
            raise TooManySamplesError


class Writing:
    """The samples of one write request to the engine, all of one tenant."""

    def __init__(self, tenant: str) -> None:
        self._tenant = _label(TENANT, tenant)
        self._series: list[bytes] = []

    def add(self, point: Point, component: Component, time: int, value: float) -> None:
        """Add a sample at `time`, in milliseconds."""
        name = _label("__name__", point.name + component.suffix)
        extra = _label(component.label, component.value) if component.label else b""
        series = b"".join((name, point.labels, extra, self._tenant, _sample(time, value)))
        self._series.append(_field(1, series))

    def __len__(self) -> int:
        return len(self._series)

    def body(self) -> bytes:
        """The write request."""
        return b"".join(self._series)


def within_limit(points: Iterable[Point], beyond: Set[bytes], limit: int, refused: Refusals) -> list[Point]:
    """The points without a series that is `beyond` the limit of active series; the others are added to `refused`."""
    detail = f"the tenant has had {limit} series in this hour, the limit. Send fewer different values of labels."
    error = RefusedError(Reason.SERIES_LIMIT, detail)
    kept = []
    for point in points:
        if beyond and not beyond.isdisjoint(point.series_keys):
            refused.add(error, point.weight)
        else:
            kept.append(point)
    return kept


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


@lru_cache(16_384)
def _label(name: str, value: str) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, value.encode()))


def _sample(time: int, value: float) -> bytes:
    return _field(2, b"\x09" + struct.pack("<d", value) + _timestamp(time))


@lru_cache(1024)
def _timestamp(time: int) -> bytes:
    return b"\x10" + _varint(time)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes of a protobuf message."""
    size = len(content)
    length = bytes((size,)) if size < 128 else _varint(size)
    return b"".join((bytes((number << 3 | 2,)), length, content))


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
