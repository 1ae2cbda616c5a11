"""Checks an entry: the commitments of its parts, and that its facts agree with its leaf."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

from quartet_audit_verifier.encoding import (
    FormatError,
    decode_base64,
    microseconds,
    parse_object,
    shown,
    time_text,
)
from quartet_audit_verifier.erasures import ACTION as ERASURE
from quartet_audit_verifier.erasures import Erasures
from quartet_audit_verifier.expired import ACTION as RETENTION
from quartet_audit_verifier.expired import Expired
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.leaves import NO_COMMITMENT, PARTS, SALT_BYTES, Leaf, id_text

FACTS: Final = PARTS[0]
MEMBERS: Final = {
    "facts": frozenset(
        "id sequence time recorded_time tenant action type actor resource outcome trace_id".split()  # noqa: SIM905  # as a list it takes twelve lines
    ),
    "actor": frozenset(("actor_name", "actor_type")),
    "resource": frozenset(("resource_name",)),
    "source": frozenset(("source_address", "user_agent")),
    "changes": frozenset(("data",)),
}
"""The members of each part. A personal part with a member of the facts would show another entry than was logged."""


class EntryChecks:
    """The checks of the entries of a log, with the counts of what was read."""

    def __init__(self, tenant: str, findings: Findings, erasures: Erasures, expired: Expired) -> None:
        self.tenant = tenant
        self.findings = findings
        self.erasures = erasures
        self.expired = expired
        self.verified = dict.fromkeys(PARTS, 0)
        """Parts whose salt and bytes give their commitment, by name."""
        self.last_recorded = -1
        """The latest `recorded_time` of an entry, in microseconds since 1970."""

    def take(self, parts: Iterable[str], recorded: int) -> None:
        """Count the parts of an entry that was checked before, by name, and take its `recorded_time`."""
        for name in parts:
            self.verified[name] += 1
        self.last_recorded = max(self.last_recorded, recorded)

    def check(self, sequence: int, leaf: Leaf, parts: object) -> None:
        """Check the parts of an entry, a JSON object as in docs/audit-formats.md."""
        if not isinstance(parts, dict):
            self.findings.add("malformed", f"The parts of entry {sequence} are {shown(parts)}.", sequence)
            return
        if not parts.keys() <= MEMBERS.keys():
            unknown = shown(sorted(parts.keys() - MEMBERS.keys()))
            self.findings.add("unexpected_part", f"Entry {sequence} has the unknown parts {unknown}.", sequence)
        for name, commitment in zip(PARTS, leaf.commitments, strict=True):
            part: Any = parts.get(name)
            if part is None and commitment == NO_COMMITMENT and name not in parts:
                continue
            try:
                raw = decode_base64(part["bytes"], "its content")
                salt = decode_base64(part["salt"], "its salt", SALT_BYTES)
                is_committed = sha256(salt + raw).digest() == commitment
            except (KeyError, TypeError, FormatError):
                is_committed = False
            if is_committed and len(part) == 2:
                self.verified[name] += 1
                self._read_content(sequence, leaf, name, raw)
            else:
                self._report_part(sequence, leaf, name, commitment, part)

    def _report_part(self, sequence: int, leaf: Leaf, name: str, commitment: bytes, part: object) -> None:
        """Say what is wrong with a part, or take its erasure."""
        if not isinstance(part, dict):
            text = f"Part {name} of entry {sequence} is missing and has no record of an erasure."
            self.findings.add("missing_part", text, sequence, name)
        elif commitment == NO_COMMITMENT:
            text = f"Entry {sequence} has a part {name}, and its leaf says that it never had one."
            self.findings.add("unexpected_part", text, sequence, name)
        elif "erased" in part:
            self._check_erased(sequence, name, part)
        else:
            self._report_content(sequence, leaf, name, commitment, part)

    def _check_erased(self, sequence: int, name: str, part: dict[str, Any]) -> None:
        if name == FACTS:
            text = f"The facts of entry {sequence} are erased. Facts are no personal data and are never erased."
            self.findings.add("erasure", text, sequence, name)
        elif "bytes" in part or "salt" in part:
            text = f"Part {name} of entry {sequence} is erased and present at the same time."
            self.findings.add("malformed", text, sequence, name)
        else:
            self.erasures.add(sequence, name, part["erased"])

    def _report_content(self, sequence: int, leaf: Leaf, name: str, commitment: bytes, part: dict[str, Any]) -> None:
        try:
            raw = decode_base64(part.get("bytes"), "its content")
            salt = decode_base64(part.get("salt"), "its salt", SALT_BYTES)
            if len(part) > 2:
                raise FormatError(f"it has the members {shown(sorted(part))}")
        except FormatError as error:
            self.findings.add("malformed", f"Part {name} of entry {sequence}: {error}.", sequence, name)
            return
        if sha256(salt + raw).digest() != commitment:
            text = f"Part {name} of entry {sequence} was changed: its bytes and salt do not give its commitment."
            self.findings.add("changed", text, sequence, name)
        else:
            self._read_content(sequence, leaf, name, raw)

    def _read_content(self, sequence: int, leaf: Leaf, name: str, raw: bytes) -> None:
        """Check what a part says that is as committed."""
        content = self._parse_content(sequence, name, raw)
        if name == FACTS and content is not None:
            self._check_facts(sequence, leaf, content)
            if leaf.action == ERASURE:
                self.erasures.record(content.get("resource"))
            elif leaf.action == RETENTION:
                self.expired.record(sequence, content.get("resource"))

    def _parse_content(self, sequence: int, name: str, raw: bytes) -> dict[str, Any] | None:
        try:
            content = parse_object(raw)
        except FormatError as error:
            self.findings.add("malformed", f"Part {name} of entry {sequence}: {error}.", sequence, name)
            return None
        if not content.keys() <= MEMBERS[name]:
            unknown = shown(sorted(content.keys() - MEMBERS[name]))
            text = f"Part {name} of entry {sequence} has the members {unknown}, which it cannot have."
            self.findings.add("disagreement", text, sequence, name)
        return content

    def _check_facts(self, sequence: int, leaf: Leaf, facts: Mapping[str, Any]) -> None:
        time = facts.get("time")
        expected = (leaf.sequence, id_text(leaf.event_id), leaf.action, self.tenant)
        found = (facts.get("sequence"), facts.get("id"), facts.get("action"), facts.get("tenant"))
        recorded = microseconds(facts.get("recorded_time"))
        if recorded is not None and recorded > self.last_recorded:
            self.last_recorded = recorded
        if found == expected and type(found[0]) is int and microseconds(time) == leaf.time and recorded is not None:
            return
        names = ("sequence", "id", "action", "tenant", "time", "recorded_time")
        wanted = (*expected, time_text(leaf.time), "a time")
        values = (*found, time, facts.get("recorded_time"))
        differ = [a != b or type(a) is not type(b) for a, b in zip(expected, found, strict=True)]
        differ += [microseconds(time) != leaf.time, recorded is None]
        for name, want, value, is_other in zip(names, wanted, values, differ, strict=True):
            if is_other:
                self._disagreement(sequence, name, want, value)

    def _disagreement(self, sequence: int, name: str, wanted: object, value: object) -> None:
        if name == "tenant":
            text = f"Entry {sequence} belongs to tenant {shown(value)}, not to {shown(wanted)}."
            self.findings.add("wrong_log", text, sequence, FACTS)
            return
        text = f"The facts of entry {sequence} have the {name} {shown(value)}, expected {shown(wanted)}."
        self.findings.add("disagreement", text, sequence, FACTS)
