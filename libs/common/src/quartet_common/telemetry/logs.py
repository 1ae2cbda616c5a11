"""Logs: one JSON object a line on standard output, with trace id, tenant and actor, without secrets."""

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, TextIO

import orjson
import stamina.instrumentation
from opentelemetry import trace

HIDDEN = "(hidden)"
SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "credential", "private_key", "master_key")
MAX_VALUE = 2000
DELAY = 0.005
"""Seconds that a line may wait for others; lost by a SIGKILL."""
MAX_LINES = 100
"""Maximum of waiting lines."""
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""The attributes of every record: all others are extras of the caller."""
OWN_NUMBER = len(vars(logging.makeLogRecord({})))
"""The number of attributes of a new record; the extras follow them."""

_context: ContextVar[Mapping[str, str]] = ContextVar("quartet_log_context", default=MappingProxyType({}))


def begin_context(**names: str) -> None:
    """Begin the log context of a request: all its lines have `names`."""
    _context.set(names)


def add_context(**names: str) -> None:
    """Add `names` to all further lines of this log context."""
    _context.set({**_context.get(), **names})


def configure_logs(service: str, process: str, level: str) -> None:
    """Send all records of `logging` to standard output as JSON lines."""
    handler = LineBatches(sys.stdout)
    handler.setFormatter(JsonLines(service, process))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    _skip_unused_attributes()
    stamina.instrumentation.set_on_retry_hooks([])  # retry.py logs each attempt
    for noisy in ("hypercorn.access", "httpx", "httpcore", "aiormq", "aio_pika"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # it logs a lost connection with a traceback; relay and consumer log it in one line
    logging.getLogger("aiormq.connection").setLevel(logging.ERROR)


def _skip_unused_attributes() -> None:
    """As logging's HOWTO recommends under "Optimization": no source lines, threads and tasks."""
    vars(logging)["_srcfile"] = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    vars(logging)["logAsyncioTasks"] = False  # new in Python 3.12


class LineBatches(logging.StreamHandler[TextIO]):
    """Writes the lines of DELAY seconds in one call: a system call costs more than a line.

    Outside of an event loop, and for errors, lines are written at once, after the waiting ones. `logging` flushes at
    the end of the process. See docs/decisions/0026.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._flushing_loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        """The thread of the loop."""
        os.register_at_fork(before=self.flush)  # else the child would write them too

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record. The caller, `handle`, holds the lock."""
        try:
            self._lines.append(self.format(record))
            if record.levelno >= logging.ERROR or len(self._lines) >= MAX_LINES or not self._will_flush():
                self.flush()
        except Exception:
            self.handleError(record)

    def _will_flush(self) -> bool:
        """Whether the event loop of this thread will flush; only the first line looks for the loop."""
        if self._flushing_loop is None:
            self._flushing_loop, self._thread = _running_loop(), threading.get_ident()
            if self._flushing_loop is not None:
                self._flushing_loop.call_later(DELAY, self.flush)
        elif self._thread != threading.get_ident() or not self._flushing_loop.is_running():
            return False
        return self._flushing_loop is not None

    def flush(self) -> None:
        """Write the waiting lines. Raises OSError if that fails; the lines are lost then."""
        self.acquire()
        try:
            lines, self._lines, self._flushing_loop = self._lines, [], None
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()
        finally:
            self.release()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class JsonLines(logging.Formatter):
    """Writes a record as a JSON object: process, message, request, trace, and the extras of the caller.

    Each request logs a line, so its cost matters: see docs/decisions/0012.
    """

    def __init__(self, service: str, process: str) -> None:
        super().__init__()
        self._names = {"service": service, "process": process}

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        event = {"event": record.getMessage(), **_context.get(), "level": record.levelname.lower()}
        extras = islice(vars(record).items(), OWN_NUMBER, None)
        event.update([pair for pair in extras if pair[0] not in OWN])  # another formatter may have added attributes
        event["time"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        add_trace(event)
        shown = self._names | hide_secrets(event)
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return _dumps(shown)


def add_trace(event: MutableMapping[str, Any]) -> None:
    """Add the ids of the current span."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"


def hide_secrets(event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Hide values whose key names a secret, and cut long ones, so that no whole body is logged."""
    return {key: _shown(key, value) for key, value in event.items()}


@lru_cache(1024)
def _names_a_secret(key: str) -> bool:
    lowered = key.lower()
    return any(word in lowered for word in SECRET_WORDS)


def _shown(key: object, value: Any) -> Any:
    if _names_a_secret(key if type(key) is str else str(key)):
        return HIDDEN
    if isinstance(value, (str, bytes)):
        return value if len(value) <= MAX_VALUE else value[:MAX_VALUE]
    if isinstance(value, dict):
        return {name: _shown(name, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown("", inner) for inner in value]
    return value


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair, or a number beyond 64 bits
        return json.dumps(value, default=str)
