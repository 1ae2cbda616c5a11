"""Messages of streams: the bytes that a destination gets for a batch of entries."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from quartet_audit.exports.ocsf_domain import ocsf_json
from quartet_audit.streams.stream_domain import OCSF, Splunk, Stream

SECRET_PREFIX = "whsec_"  # noqa: S105  # the beginning of a secret (Standard Webhooks, "Signature scheme")
SECRET_BYTES = 32
SOURCE = "quartet"
SOURCETYPE = "quartet:audit"

FACILITY = 13
"""Log audit (RFC 5424 section 6.2.1)."""
INFORMATIONAL, WARNING = 6, 4
"""Severities of entries with the outcome success, and with others."""
NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
MAX_MSGID = 32
MAX_HOSTNAME = 255


class BatchEntry(NamedTuple):
    """An entry of a batch: its place in the log, its JSON as `/audit/events` shows it, and its leaf."""

    sequence: int
    json: bytes
    leaf: bytes = b""


Render = Callable[[BatchEntry], bytes]
"""What a destination gets of an entry."""


class _Head(msgspec.Struct):
    """What a message has of an entry in addition to its JSON."""

    time: datetime
    action: str
    outcome: str


_head = msgspec.json.Decoder(_Head).decode
_encode = msgspec.json.Encoder().encode


def renderer(name: str, public_url: str) -> Render:
    """How entries are written in a format; those for OCSF need their leaves."""
    if name == OCSF:
        return lambda entry: ocsf_json(entry.json, entry.leaf, public_url)
    return lambda entry: entry.json


def new_secret() -> str:
    """A secret for the signatures of a webhook."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def message_id(stream: Stream, entries: Sequence[BatchEntry]) -> str:
    """The id of a batch: the same each time that it is sent, until a replay."""
    return f"msg_{stream.id.hex}_{stream.replays}_{entries[0].sequence}_{entries[-1].sequence}"


def webhook_body(stream_id: UUID, entries: Sequence[BatchEntry], render: Render, now: datetime) -> bytes:
    """The payload of a webhook: `type`, `timestamp` and `data` (Standard Webhooks, "Payload structure")."""
    events = b",".join(map(render, entries))
    head = b'{"type":"audit.entries","timestamp":%b,"data":{"stream":"%b","events":[%b]}}'
    return head % (_encode(now.astimezone(UTC)), str(stream_id).encode(), events)


def webhook_headers(keys: Sequence[str], identifier: str, now: datetime, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a webhook, signed by each secret (Standard Webhooks, "Webhook headers", v1: HMAC-SHA256)."""
    timestamp = str(int(now.timestamp()))
    signed = f"{identifier}.{timestamp}.".encode() + body
    return [
        (b"content-type", b"application/json"),
        (b"webhook-id", identifier.encode()),
        (b"webhook-timestamp", timestamp.encode()),
        (b"webhook-signature", b" ".join(_signature(secret, signed) for secret in keys)),
    ]


def _signature(secret: str, signed: bytes) -> bytes:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))


def splunk_body(destination: Splunk, entries: Sequence[BatchEntry], render: Render, host: str) -> bytes:
    """The body for an HTTP Event Collector: an object for each entry, one after the other."""
    common = {"host": host, "source": SOURCE, "sourcetype": SOURCETYPE}
    if destination.index is not None:
        common["index"] = destination.index
    return b"\n".join(
        _encode(
            {
                "time": _head(entry.json).time.timestamp(),
                **common,
                "event": msgspec.Raw(render(entry)),
            }
        )
        for entry in entries
    )


def syslog_frames(entries: Sequence[BatchEntry], render: Render, host: str) -> bytes:
    """The messages of RFC 5424 section 6, each after its length in octets (RFC 5425 section 4.3)."""
    messages = [_syslog_message(entry, render, host) for entry in entries]
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


def _syslog_message(entry: BatchEntry, render: Render, host: str) -> bytes:
    head = _head(entry.json)
    priority = FACILITY * 8 + (INFORMATIONAL if head.outcome == "success" else WARNING)
    time = head.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    hostname = NOT_PRINTABLE.sub("", host)[:MAX_HOSTNAME] or "-"
    msgid = NOT_PRINTABLE.sub("", head.action)[:MAX_MSGID] or "-"
    return f"<{priority}>1 {time} {hostname} quartet-audit - {msgid} - ".encode() + render(entry)


def file_lines(entries: Sequence[BatchEntry], render: Render) -> bytes:
    """A line for each entry."""
    return b"".join(render(entry) + b"\n" for entry in entries)
