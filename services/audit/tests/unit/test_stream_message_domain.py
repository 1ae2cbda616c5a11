"""Messages of streams, byte by byte."""

import base64
from datetime import UTC, datetime
from uuid import UUID

from quartet_audit.streams.stream_domain import Splunk
from quartet_audit.streams.stream_message_domain import (
    BatchEntry,
    file_lines,
    new_secret,
    renderer,
    splunk_body,
    syslog_frames,
    webhook_body,
    webhook_headers,
)

NOW = datetime(2026, 1, 31, 9, 0, 0, 250_000, tzinfo=UTC)
ENTRY = (
    '{"time":"2026-01-31T08:59:59.5Z","action":"users.user.created","outcome":"success","data":{"name":"ä"}}'.encode()
)
DENIED = (
    b'{"time":"2026-01-31T10:00:00+01:00","action":"app.a-name-of-more-than-thirty-two-characters","outcome":"denied"}'
)
ENTRIES = [BatchEntry(4, ENTRY), BatchEntry(7, DENIED)]
RENDER = renderer("quartet", "https://quartet.example.com")


def test_a_webhook_has_the_signature_of_the_specification() -> None:
    """The example of the Standard Webhooks libraries."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    now = datetime.fromtimestamp(1614265330, UTC)
    headers = dict(webhook_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", now, body))
    assert headers[b"webhook-signature"] == b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers[b"webhook-id"], headers[b"webhook-timestamp"]) == (b"msg_p5jXN8AQM9LWM0D4loKWxJek", b"1614265330")


def test_a_secret_has_256_random_bits() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


def test_the_body_of_a_webhook_has_the_entries_as_they_are() -> None:
    body = webhook_body(UUID(int=1), ENTRIES, RENDER, NOW)
    head = b'{"type":"audit.entries","timestamp":"2026-01-31T09:00:00.250000Z","data":{"stream":"%b","events":['
    assert body == head % b"00000000-0000-0000-0000-000000000001" + ENTRY + b"," + DENIED + b"]}}"


def test_splunk_gets_the_time_of_each_entry() -> None:
    body = splunk_body(Splunk("https://splunk.example.com/"), ENTRIES, RENDER, "quartet.example.com")
    common = b'"host":"quartet.example.com","source":"quartet","sourcetype":"quartet:audit","event":'
    first, second = body.split(b"\n")
    assert first == b'{"time":1769849999.5,' + common + ENTRY + b"}"
    assert second == b'{"time":1769850000.0,' + common + DENIED + b"}"


def test_syslog_counts_octets_not_characters() -> None:
    first = b"<110>1 2026-01-31T08:59:59.500000Z quartet.example.com quartet-audit - users.user.created - " + ENTRY
    second = (
        b"<108>1 2026-01-31T09:00:00.000000Z quartet.example.com quartet-audit - app.a-name-of-more-than-thirty-t - "
        + DENIED
    )
    frames = syslog_frames(ENTRIES, RENDER, "quartet.example.com")
    assert frames == b"%d %b%d %b" % (len(first), first, len(second), second)


def test_a_file_has_a_line_for_each_entry() -> None:
    assert file_lines(ENTRIES, RENDER) == ENTRY + b"\n" + DENIED + b"\n"
