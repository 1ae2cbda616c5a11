"""Erased parts: counts them, and looks for the entries that record the erasures."""

from collections import Counter
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from quartet_audit_verifier.encoding import microseconds, shown
from quartet_audit_verifier.findings import Findings

MAX_REQUESTS: Final = 100_000
"""Requests that are looked for at a time, so that the memory is bounded."""
ACTION: Final = "audit.erasure.requested"
RESOURCE: Final = "erasures"
DELAY: Final = 60_000_000
"""Microseconds that the entry of a request may take to come into the log."""


@dataclass
class Request:
    """A request that erased something: its latest time as the records say it, and the first entry that it erased."""

    time: int
    sequence: int
    text: str


class Erasures:
    """The erasures of a log. The entry that records a request comes after all entries that it erased."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.counts: Counter[str] = Counter()
        """Erased parts by name."""
        self.recorded = 0
        """Requests whose entry was found."""
        self.pending: dict[bytes, Request] = {}

    def add(self, sequence: int, part: str, record: object) -> None:
        """Count an erased part; its record must name a time and a request."""
        self.counts[part] += 1
        values = record if isinstance(record, dict) else {}
        time, request = microseconds(values.get("time")), _uuid(values.get("request"))
        if time is None or request is None:
            text = f"The erasure of {part} of entry {sequence} has no time and request, but {shown(record)}."
            self.findings.add("erasure", text, sequence, part)
        elif (known := self.pending.get(request.bytes)) is not None:
            known.time = max(known.time, time)
        elif len(self.pending) < MAX_REQUESTS:
            self.pending[request.bytes] = Request(time, sequence, str(request))
        else:
            text = f"Entry {sequence} names one of more than {MAX_REQUESTS} requests that no entry records so far."
            self.findings.add("erasure", text, sequence, part)

    def record(self, resource: object) -> None:
        """Take the resource of an entry with the action ACTION: the request that it records."""
        values = resource if isinstance(resource, dict) else {}
        request = _uuid(values.get("id"))
        if request is not None and values.get("type") == RESOURCE and self.pending.pop(request.bytes, None):
            self.recorded += 1

    def finish(self, last_recorded: int) -> int:
        """Report requests without an entry; returns those that may have theirs after the end of the bundle.

        `last_recorded` is the latest time at which an entry was recorded, in microseconds since 1970.
        """
        later = 0
        for request in self.pending.values():
            if request.time > last_recorded - DELAY:
                later += 1
            else:
                text = f"Entry {request.sequence} was erased by request {request.text}, which no later entry records."
                self.findings.add("erasure", text, request.sequence)
        return later


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
