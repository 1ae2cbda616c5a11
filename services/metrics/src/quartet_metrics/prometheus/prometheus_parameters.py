"""Parses the parameters of the Prometheus API; errors name the invalid parameter."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from quartet_common.core.validation_messages import MAX_SHOWN, shown
from quartet_common.web.query_parameters import BadParameterError, time, whole_number
from quartet_metrics.prometheus.prometheus_domain import Selection

MAX_QUERY = 16 * 1024
"""Maximum length of a query or selector in bytes."""
MAX_SELECTORS = 16
MAX_POINTS = 11_000
"""The maximum number of points of a series, as in Prometheus."""
MAX_TIME = 4_102_444_800
"""2100-01-01 in seconds since the epoch."""
MAX_TIMEOUT = 10.0
MAX_LIMIT = 1_000_000
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdwy]))+")
NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?(?:e[+]?[0-9]{1,2})?")
LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
TIME_RULE = "must be seconds since 1970, or an RFC 3339 time, before 2100"

Given = Mapping[str, Sequence[str]]
"""The sent parameters: name to all its values."""


def read_instant(given: Given) -> dict[str, str]:
    """The parameters of an instant query for the engine. Raises BadParameterError (400)."""
    _know(given, ("query", "time", "timeout"))
    found = {"query": _query(given), "timeout": _timeout(given)}
    if "time" in given:
        found["time"] = _seconds(_time(given, "time"))
    return found


def read_range(given: Given) -> dict[str, str]:
    """The parameters of a range query for the engine. Raises BadParameterError (400)."""
    _know(given, ("query", "start", "end", "step", "timeout"))
    start, end = _time(given, "start"), _time(given, "end")
    if end < start:
        raise BadParameterError("end", "must not be before start")
    step = _duration("step", _one(given, "step"))
    if (end - start) / step > MAX_POINTS:
        raise BadParameterError("step", f"gives more than {MAX_POINTS} points for a series. Use a larger one")
    found = {"query": _query(given), "timeout": _timeout(given)}
    return found | {"start": _seconds(start), "end": _seconds(end), "step": _seconds(step)}


def read_selection(given: Given, *, needs_selector: bool = False) -> Selection:
    """The parameters of a request about series or labels. Raises BadParameterError (400)."""
    _know(given, ("match[]", "start", "end", "limit"))
    selectors = list(given.get("match[]", ()))
    if needs_selector and not selectors:
        raise BadParameterError("match[]", "is missing. Give at least one selector")
    if len(selectors) > MAX_SELECTORS:
        raise BadParameterError("match[]", f"may be given {MAX_SELECTORS} times, got {len(selectors)}")
    for selector in selectors:
        _text("match[]", selector)
    forwarded: dict[str, str | list[str]] = {
        name: _seconds(_time(given, name)) for name in ("start", "end") if name in given
    }
    return Selection(forwarded | ({"match[]": selectors} if selectors else {}), _limit(given, "limit"))


def read_metadata(given: Given) -> tuple[str | None, int | None]:
    """The metric and the largest number of metrics. Raises BadParameterError (400)."""
    _know(given, ("metric", "limit", "limit_per_metric"))
    _limit(given, "limit_per_metric")
    return (_text("metric", _one(given, "metric")) if "metric" in given else None), _limit(given, "limit")


def read_nothing(given: Given) -> None:
    """Raises BadParameterError (400) for any parameter."""
    _know(given, ())


def read_label_name(name: str) -> str:
    """The name of a label in a path. Raises BadParameterError (400)."""
    if LABEL_NAME.fullmatch(name) is None or (name.startswith("__") and name != "__name__"):
        raise BadParameterError("name", f"must be the name of a label, got {shown(name)}")
    return name


def _know(given: Given, known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            usable = f"Use: {', '.join(known)}" if known else "This path takes none"
            raise BadParameterError(name[:MAX_SHOWN], f"is not a known parameter. {usable}")


def _one(given: Given, name: str) -> str:
    values = given.get(name, ())
    if len(values) != 1 or not values[0]:
        raise BadParameterError(name, f"must be given once, got {len(values)} values" if values else "is missing")
    return values[0]


def _text(name: str, value: str) -> str:
    if not value or len(value.encode(errors="replace")) > MAX_QUERY or "\0" in value:
        raise BadParameterError(name, f"must have 1 to {MAX_QUERY} bytes and no NUL character")
    return value


def _query(given: Given) -> str:
    return _text("query", _one(given, "query"))


def _time(given: Given, name: str) -> float:
    text = _one(given, name)
    found = float(text) if NUMBER.fullmatch(text) else _rfc3339(name, text).timestamp()
    if not 0 <= found <= MAX_TIME:
        raise BadParameterError(name, f"{TIME_RULE}, got {shown(text)}")
    return found


def _rfc3339(name: str, text: str) -> datetime:
    try:
        return time(name, text)
    except BadParameterError:
        raise BadParameterError(name, f"{TIME_RULE}, got {shown(text)}") from None


def _duration(name: str, text: str) -> float:
    found = 0.0
    if NUMBER.fullmatch(text):
        found = float(text)
    elif DURATION.fullmatch(text):
        found = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|[smhdwy])", text))
    if not (math.isfinite(found) and 0.001 <= found <= MAX_TIME):
        raise BadParameterError(name, f"must be a duration above 0, such as 30, 1m or 1h30m, got {shown(text)}")
    return found


def _timeout(given: Given) -> str:
    wanted = _duration("timeout", _one(given, "timeout")) if "timeout" in given else MAX_TIMEOUT
    return f"{_seconds(min(wanted, MAX_TIMEOUT))}s"


def _limit(given: Given, name: str) -> int | None:
    """A number of results; None or 0 for all."""
    return (whole_number(name, _one(given, name), 0, MAX_LIMIT) or None) if name in given else None


def _seconds(value: float) -> str:
    """Seconds as a decimal number with milliseconds, the resolution of the engine."""
    return f"{value:.3f}"
