"""Verifies bundles in files, remembers their checkpoints, and makes the report."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from quartet_audit_verifier.bundle import BundleVerifier
from quartet_audit_verifier.encoding import time_text
from quartet_audit_verifier.findings import Kind
from quartet_audit_verifier.lines import BundleFile
from quartet_audit_verifier.progress import Progress
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.trust import Trust

CONTRADICTIONS: Final[tuple[Kind, ...]] = ("fork", "rewritten", "rolled_back", "unlinked", "wrong_log")
EVERY = 256
"""Lines between two looks at the clock."""


def verify_files(paths: Sequence[Path], trust: Trust, tenant: str | None = None) -> Report:
    """Verify a bundle in one file, or in the files of its pieces. Raises OSError and StateError."""
    begun = time.monotonic()
    verifier = BundleVerifier(trust, tenant)
    with ExitStack() as stack:
        files = [stack.enter_context(BundleFile(path)) for path in paths]
        progress = Progress(sum(file.size for file in files))
        stack.callback(progress.end)
        read = 0
        for file in files:
            pieces = verifier.read(file.lines(), is_last=file is files[-1])
            for number, _ in enumerate(pieces):
                if number % EVERY == 0:
                    progress.show(read + file.position(), verifier.count)
            read += file.size
        verifier.finish()
    remember(verifier)
    return Report({**facts_of(verifier), "seconds": round(time.monotonic() - begun, 3)}, verifier.findings)


def remember(verifier: BundleVerifier) -> None:
    """Save checkpoints that are signed and contradict nothing, and the keys that signed them. Raises StateError."""
    findings = verifier.findings
    if verifier.signed is None or findings.has(*CONTRADICTIONS):
        return
    if verifier.tree.is_whole:
        verifier.trust.save(verifier.signed)
    if verifier.deployment is not None and not findings.has("deployment", "quorum"):
        verifier.trust.save(verifier.deployment)


def facts_of(verifier: BundleVerifier) -> dict[str, Any]:
    """What was read of a bundle, for the report."""
    header, checkpoint = verifier.header, verifier.checkpoint
    if header is None:
        return {}
    first, last = (None, None) if verifier.times is None else map(time_text, verifier.times)
    seen = verifier.tree.seen
    logs = {origin: dict(each) for origin, each in verifier.trust.report.items()}
    logs.setdefault(header.origin, {})["seen_checkpoints"] = {
        "compared": seen.compared,
        "not_compared": len(seen.skipped),
    }
    return {
        "tenant": header.tenant,
        "origin": header.origin,
        "from": verifier.first,
        **({} if checkpoint is None else {"size": checkpoint.size, "root_hash": checkpoint.root.hex()}),
        "entries": verifier.count,
        "first_time": first,
        "last_time": last,
        "tiles": verifier.tree.tiles,
        "parts": dict(verifier.entries.verified),
        "expired": {
            "entries": verifier.expired.count,
            "last": verifier.expired.last if verifier.expired.count else None,
            "later": verifier.is_expiry_later,
        },
        "erased": dict(verifier.erasures.counts),
        "erasure_requests": {"recorded": verifier.erasures.recorded, "later": verifier.later_erasures},
        "logs": logs,
        "witnessed": verifier.trust.needs_witnesses,
    }
