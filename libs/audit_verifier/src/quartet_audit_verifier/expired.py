"""Expired entries: counts those that retention has removed, and looks for the entries that record its runs."""

from typing import Final

from quartet_audit_verifier.encoding import microseconds, shown
from quartet_audit_verifier.erasures import DELAY
from quartet_audit_verifier.findings import Findings

ACTION: Final = "audit.retention.applied"
RESOURCE: Final = "retention"
MAX_DIGITS: Final = 18


class Expired:
    """The entries of a log of which only the leaf hash is left.

    An entry records each run of retention: its resource says below which sequence all entries are removed.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.count = 0
        self.last = -1
        """The last entry that has expired."""
        self.recorded = 0
        """All entries below are removed, as entries of the log say."""

    def add(self, sequence: int) -> None:
        """Count an entry that has expired."""
        self.count += 1
        self.last = max(self.last, sequence)

    def record(self, sequence: int, resource: object) -> None:
        """Take the resource of the entry `sequence` with the action ACTION; it cannot record what comes after it."""
        values = resource if isinstance(resource, dict) else {}
        before = values.get("id")
        if (
            values.get("type") == RESOURCE
            and isinstance(before, str)
            and before.isascii()
            and before.isdecimal()
            and len(before) <= MAX_DIGITS
            and int(before) <= sequence
        ):
            self.recorded = max(self.recorded, int(before))

    def finish(self, claim: object, last_recorded: int) -> bool:
        """Report expired entries of which no run is recorded; whether it may be recorded after the end of the bundle.

        `claim` is the member `expired` of the last line, `last_recorded` the latest time at which an entry was
        recorded, in microseconds since 1970.
        """
        if self.last < self.recorded:
            return False
        values = claim if isinstance(claim, dict) else {}
        before, time = values.get("before"), microseconds(values.get("time"))
        if type(before) is int and before > self.last and time is not None and time > last_recorded - DELAY:
            return True
        text = (
            f"Entry {self.last} is said to have expired, and no entry records a run of retention that far: "
            f"those that are recorded went to before entry {self.recorded}, and the bundle says {shown(claim)}."
        )
        self.findings.add("retention", text, self.last)
        return False
