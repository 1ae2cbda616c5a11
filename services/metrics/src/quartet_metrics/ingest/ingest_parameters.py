"""Reads the bodies of applications: OTLP and remote write, unpacked up to a limit. Errors say what was sent."""

import json
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from quart import request

from quartet_common.core.errors import BadRequestError, ServiceError, code_of
from quartet_common.core.validation_messages import shown
from quartet_metrics.ingest.remote_write_points import WriteRequest

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MAX_UNPACKED = 4 * 1024 * 1024
"""Maximum size of an unpacked body in bytes."""
REMOTE_WRITE_1 = ("", "prometheus.writerequest")
MAX_REASON = 200

Decode = Callable[[bytes], Any]


class UnpackedTooLargeError(ServiceError):
    """413: the unpacked body has more than MAX_UNPACKED bytes."""

    def __init__(self) -> None:
        detail = f"The unpacked body is larger than {MAX_UNPACKED} bytes. Send fewer points at a time."
        super().__init__(413, code_of(413), detail)


def wants_json() -> bool:
    """Whether the running request has a JSON body, so that its response has one too."""
    return _media_type() == JSON


def otlp_decoder() -> Decode:
    """What decodes the body of the running request as OTLP. Raises ServiceError 415."""
    unpack = _unpacker({"": _as_it_is, "identity": _as_it_is, "gzip": _gunzip})
    kind = _media_type()
    if kind == JSON:
        return lambda body: _from_json(unpack(body))
    if kind == PROTOBUF:
        return lambda body: _from_protobuf(ExportMetricsServiceRequest, unpack(body))
    raise _unsupported(f"The body must be {PROTOBUF} or {JSON}", kind)


def remote_write_decoder() -> Decode:
    """What decodes the body of the running request as remote write 1.0. Raises ServiceError 415."""
    kind = _media_type()
    if kind != PROTOBUF or request.mimetype_params.get("proto", "").lower() not in REMOTE_WRITE_1:
        raise _unsupported(f"The body must be {PROTOBUF} with a prometheus.WriteRequest (remote write 1.0)", kind)
    unpack = _unpacker({"snappy": _unsnappy})
    return lambda body: _from_protobuf(WriteRequest, unpack(body))


def _media_type() -> str:
    return (request.content_type or "").partition(";")[0].strip().lower()


def _unpacker(known: dict[str, Callable[[bytes], bytes]]) -> Callable[[bytes], bytes]:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in known:
        raise _unsupported(f"The Content-Encoding must be {' or '.join(name for name in known if name)}", encoding)
    return known[encoding]


def _unsupported(rule: str, sent: str) -> ServiceError:
    return ServiceError(415, "unsupported_media_type", f"{rule}, got {shown(sent)}.")


def _as_it_is(body: bytes) -> bytes:
    if len(body) > MAX_UNPACKED:
        raise UnpackedTooLargeError
    return body


def _gunzip(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        found = unpacker.decompress(body, MAX_UNPACKED + 1)
    except zlib.error as error:
        raise BadRequestError(f"The body is not gzip: {error}.", "bad_body") from None
    if len(found) > MAX_UNPACKED:
        raise UnpackedTooLargeError
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequestError("The body must be one complete gzip member.", "bad_body")
    return found


def _unsnappy(body: bytes) -> bytes:
    """The size is in the first bytes: it is checked before anything is unpacked."""
    try:
        if cramjam.snappy.decompress_raw_len(body) > MAX_UNPACKED:
            raise UnpackedTooLargeError
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise BadRequestError(f"The body is no snappy block: {str(error)[:MAX_REASON]}.", "bad_body") from None


def _from_protobuf(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError:
        raise BadRequestError(f"The body is not a protobuf {kind.DESCRIPTOR.full_name}.", "bad_body") from None


def _from_json(body: bytes) -> ExportMetricsServiceRequest:
    try:
        sent = json.loads(body)
        return json_format.ParseDict(sent, ExportMetricsServiceRequest(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:MAX_REASON]
        raise BadRequestError(f"The body is not OTLP in JSON: {reason}.", "bad_body") from None
