"""The Prometheus names of OTLP metrics and attributes, as the OpenTelemetry specification defines them; no I/O."""

import re
from functools import lru_cache
from types import MappingProxyType
from typing import Final

SPECIFICATION: Final = "https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/"
UNITS: Final = MappingProxyType({
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "kBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes",
    "TBy": "terabytes", "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
    "Cel": "celsius", "Hz": "hertz", "1": "", "%": "percent",
})  # fmt: skip
"""Words for units of UCUM."""
PER_UNITS: Final = MappingProxyType(
    {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
)
"""Words for units after a slash."""
NOT_IN_NAME: Final = re.compile(r"[^a-zA-Z0-9:]+")
NOT_IN_LABEL: Final = re.compile(r"[^a-zA-Z0-9]+")


@lru_cache(4096)
def metric_name(name: str, unit: str, *, is_counter: bool, is_gauge: bool) -> str:
    """The Prometheus name of a metric: words joined by `_`, its unit, `_total` for a counter; empty if none is left."""
    words = [word for word in NOT_IN_NAME.split(name) if word]
    main, _, per = unit.partition("/")
    for word in _unit_words(UNITS, main):
        if word not in words:
            words.append(word)
    for word in _unit_words(PER_UNITS, per):
        if word not in words:
            words += ["per", word]
    if is_counter:
        words = [*(word for word in words if word != "total"), "total"]
    if is_gauge and unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    found = "_".join(words)
    return f"_{found}" if found[:1].isdigit() else found


@lru_cache(4096)
def unit_name(unit: str) -> str:
    """The unit of a metric as a word, such as `seconds` or `meters_per_second`; empty without one."""
    main, _, per = unit.partition("/")
    words = _unit_words(PER_UNITS, per)
    return "_".join([*_unit_words(UNITS, main), *(["per", *words] if words else [])])


@lru_cache(4096)
def label_name(key: str) -> str:
    """The Prometheus label of an attribute; `key` is put before a name that does not begin with a letter."""
    found = NOT_IN_LABEL.sub("_", key)
    if found.startswith("_"):
        return f"key{found}"
    return f"key_{found}" if found[:1].isdigit() else found


def _unit_words(words: "MappingProxyType[str, str]", unit: str) -> list[str]:
    """The words of a unit, none for an annotation such as `{request}`."""
    unit = unit.strip()
    if not unit or "{" in unit or "}" in unit:
        return []
    return [word for word in NOT_IN_NAME.split(words.get(unit, unit)) if word]
