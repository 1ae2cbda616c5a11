"""Traces: an OTLP/HTTP receiver inside the test's process that keeps the spans which the stack exports to it."""

import gzip
import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex
from types import TracebackType

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

TRACES_PATH = "/v1/traces"


@dataclass(frozen=True)
class Span:
    """A finished span; ids are hex, `kind` is SERVER, CLIENT, PRODUCER, CONSUMER or INTERNAL.

    `links` are the ids of the traces to which it links.
    """

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    links: frozenset[str]


@dataclass(frozen=True)
class Parent:
    """A span of the test itself, under which the stack's spans hang; sampled, so that all of them are exported."""

    trace_id: str
    span_id: str

    @property
    def headers(self) -> dict[str, str]:
        """The W3C trace context header of a request that this span sends."""
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}


def new_parent() -> Parent:
    """A span in a trace that nobody else has."""
    return Parent(token_hex(16), token_hex(8))


class TraceReceiver:
    """Listens on a free loopback port between `with` and its end; `endpoint` is what QUARTET_OTLP_ENDPOINT takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: dict[str, list[Span]] = defaultdict(list)
        self._linked: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="otlp", daemon=True)

    @property
    def endpoint(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace that have arrived so far."""
        with self._lock:
            return list(self._spans[trace_id])

    def is_shared(self, trace_id: str) -> bool:
        """Whether a span of another trace links to this one: its events were in one message or batch with others."""
        with self._lock:
            return trace_id in self._linked

    def take(self, body: bytes) -> None:
        """Keep the spans of an ExportTraceServiceRequest (OTLP, binary Protobuf)."""
        message = ExportTraceServiceRequest.FromString(body)
        found = []
        for group in message.resource_spans:
            names = [item.value.string_value for item in group.resource.attributes if item.key == "service.name"]
            for scope in group.scope_spans:
                found += [_read(span, names[0] if names else "") for span in scope.spans]
        with self._lock:
            for span in found:
                self._linked |= span.links - {span.trace_id}
                self._spans[span.trace_id].append(span)

    def __enter__(self) -> "TraceReceiver":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _read(span: SpanMessage, service: str) -> Span:
    return Span(
        service=service,
        name=span.name,
        kind=SpanMessage.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        failed=span.status.code == 2,
        links=frozenset(link.trace_id.hex() for link in span.links),
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # exporters keep their connections open; the stack may outlive the receiver

    def __init__(self, address: tuple[str, int], receiver: TraceReceiver) -> None:
        super().__init__(address, _Handler)
        self.receiver = receiver


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:  # the base class's name
        """Take traces; anything else, such as metrics, is answered and dropped."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == TRACES_PATH:
            self.server.receiver.take(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")  # an empty ExportTraceServiceResponse: everything was taken
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The test's output is for the test's own words."""
