"""Logs: one JSON object a line on standard output, with trace id, tenant and actor, and without secrets."""

import json
import logging
import sys
from typing import Any

import orjson
import stamina.instrumentation
import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

HIDDEN = "(hidden)"
SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "credential", "private_key", "master_key")
MAX_VALUE = 2000


def configure_logs(service: str, process: str, level: str) -> None:
    """Send everything that is logged by way of `logging` to standard output as JSON lines."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            add_trace,
            hide_secrets,
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _namer(service, process),
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    stamina.instrumentation.set_on_retry_hooks([])  # retry.py logs each attempt itself
    for noisy in ("hypercorn.access", "httpx", "httpcore", "aiormq", "aio_pika"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the ids of the span that runs now."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Blank values whose key names a secret, and cut long ones, so that no whole body gets into a log."""
    return {key: _shown(key, value) for key, value in event.items()}


def _shown(key: object, value: Any) -> Any:
    if any(word in str(key).lower() for word in SECRET_WORDS):
        return HIDDEN
    if isinstance(value, str | bytes):
        return value[:MAX_VALUE]
    if isinstance(value, dict):
        return {name: _shown(name, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown("", inner) for inner in value]
    return value


def _namer(service: str, process: str) -> structlog.typing.Processor:
    def add_names(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"service": service, "process": process, **event}

    return add_names


def _dumps(value: Any, **_: Any) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair, a number beyond 64 bits: a line must not be lost for that
        return json.dumps(value, default=str)
