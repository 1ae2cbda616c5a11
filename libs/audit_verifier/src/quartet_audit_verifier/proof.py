"""Verifies single proofs: the JSON of `GET /audit/events/{id}/proof`, and the text of tlog-proof."""

import re
from base64 import b64encode
from typing import Any, Final

from quartet_audit_verifier.deployment import check_deployment, check_root
from quartet_audit_verifier.encoding import (
    HASH_BYTES,
    FormatError,
    decode_base64,
    member,
    natural,
    parse_object,
    shown,
    time_text,
)
from quartet_audit_verifier.entries import EntryChecks
from quartet_audit_verifier.erasures import Erasures
from quartet_audit_verifier.expired import Expired
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.leaves import id_text, parse_leaf
from quartet_audit_verifier.merkle import leaf_hash
from quartet_audit_verifier.notes import Checkpoint, parse_checkpoint
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.trust import Trust, TrustedKeys

HEADER: Final = b"c2sp.org/tlog-proof@v1\n"
MAX_PROOF: Final = 16 * 1024 * 1024
"""Bytes of a proof."""
_TEXT = re.compile(
    "c2sp.org/tlog-proof@v1\n(?:extra ([^\n]*)\n)?index (0|[1-9][0-9]{0,18})\n((?:[^\n]+\n)*)\n(.*)", re.DOTALL
)


def verify_proof(raw: bytes, trust: Trust, tenant: str | None = None) -> Report:
    """Verify a proof, as JSON or as text. `tenant` is the expected one. Raises StateError."""
    findings, facts = Findings(), dict[str, Any]()
    try:
        if len(raw) > MAX_PROOF:
            raise FormatError(f"it has more than {MAX_PROOF} bytes")
        # only the text has no parts: without them, JSON would prove a leaf and say nothing of its entry
        proof = _parse_text(raw) if raw.startswith(HEADER) else {"parts": None, **parse_object(raw)}
        facts = _check(proof, trust, tenant, findings)
    except FormatError as error:
        findings.add("malformed", f"The proof cannot be read: {error}.")
    return Report(facts, findings)


def _check(proof: dict[str, Any], trust: Trust, tenant: str | None, findings: Findings) -> dict[str, Any]:
    """Check a proof in the form of its JSON; returns the facts of the report. Raises FormatError."""
    checkpoint = parse_checkpoint(member(proof, "checkpoint", str))
    own = checkpoint.origin.rpartition("/")[2]
    if tenant not in (None, own):
        text = f"The proof is of the log {shown(checkpoint.origin)}, not of tenant {shown(tenant)}."
        findings.add("wrong_log", text)
    facts = _check_leaf(proof, checkpoint, own, findings)
    trusted = trust.keys_of(checkpoint.origin, [])
    signed = trust.check(checkpoint, trusted, findings)
    _compare(checkpoint, trusted, trust, findings)
    deployment = None
    if "deployment" in proof or trust.policy is not None:
        deployment = check_deployment(proof.get("deployment"), checkpoint, [], own, trust, findings)
    if not findings and signed is not None:
        trust.save(signed)
        if deployment is not None:
            trust.save(deployment)
    return {
        "tenant": own, "origin": checkpoint.origin, "size": checkpoint.size, "root_hash": checkpoint.root.hex(),
        **facts, "logs": trust.report, "witnessed": trust.needs_witnesses,
    }  # fmt: skip


def _check_leaf(proof: dict[str, Any], checkpoint: Checkpoint, tenant: str, findings: Findings) -> dict[str, Any]:
    raw, index = decode_base64(proof.get("leaf"), "its leaf"), natural(proof, "leaf_index")
    leaf = parse_leaf(raw)
    if leaf.sequence != index:
        findings.add("out_of_order", f"The proof of index {index} has the leaf of entry {leaf.sequence}.", index)
    if decode_base64(proof.get("leaf_hash"), "its leaf hash", HASH_BYTES) != leaf_hash(raw):
        findings.add("leaf", f"The leaf of entry {index} does not have the leaf hash of the proof.", index)
    if problem := check_root(proof, raw, index, checkpoint):
        findings.add("root", f"The proof of entry {index}: {problem}.", index)
    erasures = Erasures(findings)
    if "parts" in proof:
        checks = EntryChecks(tenant, findings, erasures, Expired(findings))
        checks.check(index, leaf, proof["parts"])
    return {
        "leaf_index": index, "id": id_text(leaf.event_id), "action": leaf.action, "time": time_text(leaf.time),
        "erased_parts": dict(erasures.counts),
    }  # fmt: skip


def _compare(checkpoint: Checkpoint, trusted: TrustedKeys, trust: Trust, findings: Findings) -> None:
    """Compare with seen checkpoints of the same size; a proof does not show how others are related to it."""
    for each in trust.seen_checkpoints(checkpoint.origin, trusted):
        if each.size == checkpoint.size and each.root != checkpoint.root:
            text = f"The log {shown(each.origin)} shows two histories: of size {each.size} it has the root hashes "
            findings.add("fork", f"{text}{each.root.hex()} (seen) and {checkpoint.root.hex()} (in the proof).")


def _parse_text(raw: bytes) -> dict[str, Any]:
    """A tlog-proof (tlog-proof, Format) in the form of the JSON, without parts. Raises FormatError."""
    try:
        match = _TEXT.fullmatch(raw.decode())
    except UnicodeDecodeError:
        raise FormatError("it is not UTF-8") from None
    if match is None:
        raise FormatError("it is no tlog-proof: extra, index, hashes, an empty line and a checkpoint")
    extra, index, hashes, note = match.groups()
    if extra is None:
        raise FormatError("it has no line `extra` with the leaf")
    lines = hashes.splitlines()
    for line in lines:
        decode_base64(line, "a hash of the inclusion proof", HASH_BYTES)
    leaf = decode_base64(extra, "its leaf")
    checkpoint = parse_checkpoint(note)
    return {
        "leaf_index": int(index), "leaf": extra, "leaf_hash": b64encode(leaf_hash(leaf)).decode(),
        "tree_size": checkpoint.size, "root_hash": b64encode(checkpoint.root).decode(), "hashes": lines,
        "checkpoint": note,
    }  # fmt: skip
