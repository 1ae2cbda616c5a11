"""The rules of the Prometheus API: a tenant's part of responses, and errors without internals; no I/O."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from quartet_common.core.errors import ServiceError
from quartet_metrics.engine.engine_domain import TENANT

Labels = dict[str, str]

API_VERSION: Final = "2.24.0"
"""The version of Prometheus whose API this is; newer clients leave out what it does not have."""
MAX_REASON = 300
RESULTS: Final = b'"result":['
SAMPLES: Final = b'},"value'
"""The end of the labels of a series, and the beginning of its `value` or `values`."""


@dataclass(frozen=True)
class Selection:
    """A valid request about series or labels; `limit` is the largest number of results."""

    forwarded: dict[str, str | list[str]]
    limit: int | None


class QueryError(ServiceError):
    """422: the engine cannot evaluate the query."""

    def __init__(self, detail: str, code: str = "bad_query") -> None:
        super().__init__(422, code, detail)


class QueryTimeoutError(ServiceError):
    """503: the evaluation of the query takes too long."""

    def __init__(self) -> None:
        detail = "The query takes longer than its timeout. Use narrower selectors, a larger step or a shorter range."
        super().__init__(503, "timeout", detail, {"Retry-After": "5"})


class ForgedTenantError(QueryError):
    """422: the query sets the label `tenant` of its result."""

    def __init__(self) -> None:
        super().__init__(f"The label {TENANT} is reserved: a query cannot set it.", "reserved_label")


class _Series(Struct):
    """The labels of a series of a result."""

    metric: Labels


class _Data(Struct, rename="camel"):
    result_type: Literal["vector", "matrix"]


class _Head(Struct):
    """What precedes the series of a result."""

    data: _Data


class _LabelSets(Struct):
    data: list[Labels]


class _Names(Struct):
    data: list[str]


def own_result(body: bytes, tenant: str) -> bytes:
    """The result of a query of `tenant` without the label. Raises ForgedTenantError for a series with another tenant:
    made by the query, or a fault of the engine. Raises MsgspecError or ValueError for another form.

    Samples, nearly all of a body, are copied once and not decoded. A quotation mark inside of a JSON string is escaped,
    so no label has SAMPLES in it; samples have no brace.
    """
    at = body.index(RESULTS) + len(RESULTS)
    kind = _read(body[:at] + b"]}}", _Head).data.result_type
    view = memoryview(body)
    pieces: list[bytes | memoryview] = [b'{"status":"success","data":{"resultType":"%b",' % kind.encode(), RESULTS]
    while not body.startswith(b"]", at):
        samples = body.index(SAMPLES, at) + 1
        end = body.index(b"}", samples) + 1
        series = _read(body[at:samples] + b"}", _Series)
        if series.metric.pop(TENANT, tenant) != tenant:
            raise ForgedTenantError
        pieces += (msgspec.json.encode(series)[:-1], view[samples:end])
        at = end
        if not body.startswith(b"]", at):
            at = body.index(b",", at, at + 1) + 1
            pieces.append(b",")
    return b"".join([*pieces, b"]}}"])


def own_label_sets(body: bytes, tenant: str, limit: int | None) -> bytes:
    """The label sets of series of `tenant` without the label. Raises ForgedTenantError as `own_result`."""
    found = _read(body, _LabelSets).data
    for labels in found:
        if labels.pop(TENANT, None) != tenant:
            raise ForgedTenantError
    return answer(found[:limit])


def own_names(body: bytes, limit: int | None) -> bytes:
    """Names or values of labels, without the name `tenant`."""
    return answer([name for name in _read(body, _Names).data if name != TENANT][:limit])


def values_of(body: bytes, limit: int | None) -> bytes:
    """The values of a label."""
    return answer(_read(body, _Names).data[:limit])


def answer(data: Any) -> bytes:
    """A successful response of the API."""
    return msgspec.json.encode({"status": "success", "data": data})


def _read(body: bytes, kind: type[Any]) -> Any:
    return msgspec.json.decode(body, type=kind)


QUOTED = r'"(?:[^"\\]|\\.)*"'
POSITION: Final = re.compile(rf"^error when executing query={QUOTED} (?:for|on the time range) \([^)]*\): ")
"""What the engine puts before a reason."""
PARSER: Final = re.compile(r"^(?:cannot parse .*?: )?[a-z]+[A-Z]\w*: ")
"""The names of its parts."""
SYNTAX: Final = re.compile(
    r"unexpected token|unparsed data|unknown func|cannot parse|unsupported|missing|expecting|want "
)
INTERNAL: Final = re.compile(r"-\w+\.\w+|https?:|/|\.go\b")
"""Flags, addresses and files of the engine."""
REASONS: Final[Sequence[tuple[str, str]]] = (
    ("duplicate", "An operator found several series for one label set. Use on(), ignoring() or an aggregation."),
    ("many-to-", "An operator found several series for one label set. Use group_left() or group_right()."),
    (
        "-search.max",
        "The query needs more series or samples than the engine allows. Use narrower selectors or a larger step.",
    ),
    ("too many points", "The query has too many points. Use a larger step or a shorter range."),
)
TIMEOUTS: Final = ("timeout", "maxQueryDuration", "deadline")


def refusal(body: bytes) -> ServiceError:
    """The error for the engine's refusal of a query: its reason if that is about the syntax, else a text of our own."""
    try:
        reason = str(msgspec.json.decode(body)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        reason = ""
    reason = POSITION.sub("", reason)
    if any(word in reason for word in TIMEOUTS):
        return QueryTimeoutError()
    for word, text in REASONS:
        if word in reason:
            return QueryError(text, "execution")
    reason = PARSER.sub("", reason)
    if SYNTAX.search(reason) and not INTERNAL.search(reason):
        return QueryError(f"The query is invalid: {reason[:MAX_REASON]}")
    return QueryError("The query cannot be evaluated. Check its functions and their arguments.", "execution")
