"""Reports: what was verified and what was found, as JSON and as text."""

from dataclasses import dataclass
from typing import Any

from quartet_audit_verifier.encoding import shown
from quartet_audit_verifier.findings import Findings

SOURCES = {
    "given": "given by option or policy",
    "saved": "saved by an earlier run",
    "first use": "FIRST USE: taken from the log itself, which proves nothing about who holds them",
}


@dataclass(frozen=True)
class Report:
    """The result of a verification; `facts` are JSON values."""

    facts: dict[str, Any]
    findings: Findings

    @property
    def is_verified(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """All of it as a JSON object."""
        return {"verified": self.is_verified, **self.facts, **self.findings.as_json()}

    def as_text(self) -> str:
        """All of it as lines for people."""
        lines = [*_what(self.facts), *_trust(self.facts)]
        listed = self.findings.listed
        lines += [f"  {finding.kind}: {finding.message}" for finding in listed]
        total = self.findings.counts.total()
        if total > len(listed):
            lines.append(f"  ... and {total - len(listed):,} more")
        if total:
            counts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.findings.counts.items()))
            return "\n".join([*lines, f"NOT VERIFIED: {total:,} findings ({counts})"])
        return "\n".join([*lines, "VERIFIED: nothing was changed, is missing, out of order or forked"])


def _what(facts: dict[str, Any]) -> list[str]:
    if "origin" not in facts:
        return []
    lines = [f"log {shown(facts['origin'])}, tenant {shown(facts['tenant'])}"]
    if "entries" in facts:
        begin = f" from {facts['from']:,} on" if facts["from"] else ""
        times = f", {facts['first_time']} to {facts['last_time']}" if facts["first_time"] else ""
        lines.append(f"entries read: {facts['entries']:,}{begin}{times}; tiles: {facts['tiles']:,}")
        if (expired := facts["expired"])["entries"]:
            when = "; the run of retention is to be recorded" if expired["later"] else ""
            lines.append(
                f"expired by retention: {expired['entries']:,}, the last one {expired['last']:,}; "
                f"only their leaf hashes are left{when}"
            )
        parts = ", ".join(f"{name} {count:,}" for name, count in facts["parts"].items())
        lines.append(f"parts that are as committed: {parts or 'none'}")
        erased = ", ".join(f"{name} {count:,}" for name, count in facts["erased"].items())
        requests = facts["erasure_requests"]
        lines.append(
            f"erased: {erased or 'nothing'}"
            + (
                f"; recorded requests: {requests['recorded']:,}, to be recorded: {requests['later']:,}"
                if erased
                else ""
            )
        )
    if "leaf_index" in facts:
        lines.append(f"entry {facts['leaf_index']:,} ({facts['id']}), {facts['action']}, {facts['time']}")
    if "size" in facts:
        lines.append(f"checkpoint: size {facts['size']:,}, root hash {facts['root_hash']}")
    return lines


def _trust(facts: dict[str, Any]) -> list[str]:
    lines = []
    for origin, log in facts.get("logs", {}).items():
        if "keys" in log:
            lines.append(f"keys of {shown(origin)}: {SOURCES[log['keys']]}")
        for each in log.get("signatures", []) + log.get("witnesses", []):
            state = "valid" if each["valid"] else "NOT VALID"
            time = f" at {each['time']}" if each["time"] else ""
            lines.append(f"  {state}: {each['algorithm']} by {shown(each['name'])} ({each['key_id']}){time}")
        if seen := log.get("seen_checkpoints"):
            lines.append(f"  checkpoints seen before: {seen['compared']} compared, {seen['not_compared']} not compared")
    if "witnessed" in facts:
        lines.append(
            "cosignatures: " + ("the quorum of the policy" if facts["witnessed"] else "no policy asks for any")
        )
    return lines
