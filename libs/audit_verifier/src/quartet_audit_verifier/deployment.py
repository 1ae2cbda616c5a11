"""The deployment log: checks that it has a tenant's checkpoint, and that its own checkpoint is signed and witnessed."""

from hashlib import sha256
from typing import Any, Final

from quartet_audit_verifier.deployment_order import Consistency, parse_consistency
from quartet_audit_verifier.encoding import (
    HASH_BYTES,
    FormatError,
    decode_base64,
    member,
    natural,
    shown,
)
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.leaves import SALT_BYTES, parse_deployment_leaf
from quartet_audit_verifier.merkle import leaf_hash, root_of_inclusion
from quartet_audit_verifier.notes import Checkpoint, parse_checkpoint
from quartet_audit_verifier.trust import SignedCheckpoint, Trust, TrustedKeys

MAX_HASHES: Final = 63


def deployment_origin(origin: str, tenant: str) -> str | None:
    """The origin of the deployment log of a tenant's log; None if `origin` is not that of this tenant."""
    own, separator, name = origin.rpartition("/")
    return own if separator and name == tenant and own.endswith("/audit/log") else None


def check_deployment(
    proof: object, checkpoint: Checkpoint, own_keys: object, tenant: str, trust: Trust, findings: Findings
) -> SignedCheckpoint | None:
    """Check the member `deployment` of a bundle or a proof for the checkpoint of a tenant.

    Returns the checkpoint of the deployment log if its signatures are valid. `own_keys` is what the log itself shows.
    """
    if not isinstance(proof, dict):
        findings.add("deployment", f"There is no proof of the deployment log, but {shown(proof)}.")
        return None
    try:
        deployment = parse_checkpoint(member(proof, "checkpoint", str))
        if deployment.origin != deployment_origin(checkpoint.origin, tenant):
            text = f"The deployment checkpoint is of {shown(deployment.origin)}, which is not the deployment log of "
            findings.add("wrong_log", f"{text}{shown(checkpoint.origin)}.")
        _check_inclusion(proof, checkpoint, deployment, findings)
        consistency = parse_consistency(proof)
        trusted = trust.keys_of(deployment.origin, own_keys)
    except FormatError as error:
        findings.add("malformed", f"The proof of the deployment log: {error}.")
        return None
    signed = trust.check(deployment, trusted, findings)
    trust.check_policy(deployment, findings)
    trust.check_given((checkpoint.origin, deployment.origin), findings)
    _compare(deployment, consistency, trusted, trust, findings)
    return signed


def check_root(proof: dict[str, Any], leaf: bytes, index: int, checkpoint: Checkpoint) -> str | None:
    """What is wrong with an inclusion proof: of `leaf` at `index` in the tree of `checkpoint`. Raises FormatError."""
    hashes = member(proof, "hashes", list)
    if len(hashes) > MAX_HASHES:
        raise FormatError(f"it has {len(hashes)} hashes")
    raw = [decode_base64(each, "a hash of the inclusion proof", HASH_BYTES) for each in hashes]
    root = decode_base64(proof.get("root_hash"), "its root hash", HASH_BYTES)
    if (natural(proof, "tree_size"), root) != (checkpoint.size, checkpoint.root):
        return "tree size and root hash are not those of its checkpoint"
    if root_of_inclusion(index, checkpoint.size, leaf_hash(leaf), raw) != checkpoint.root:
        return f"it does not show that leaf {index} is in the tree of its checkpoint"
    return None


def _check_inclusion(proof: dict[str, Any], checkpoint: Checkpoint, deployment: Checkpoint, findings: Findings) -> None:
    raw = decode_base64(proof.get("leaf"), "its leaf")
    leaf, index = parse_deployment_leaf(raw), natural(proof, "leaf_index")
    salt = decode_base64(proof.get("salt"), "its salt", SALT_BYTES)
    if sha256(salt + checkpoint.text.encode()).digest() != leaf.commitment:
        findings.add("deployment", "The leaf of the deployment log does not commit to the checkpoint of the tenant.")
    if leaf.index != index:
        findings.add("deployment", f"The leaf of the deployment log has the index {leaf.index}, and its proof {index}.")
    if problem := check_root(proof, raw, index, deployment):
        findings.add("deployment", f"The proof of the deployment log: {problem}.")


def _compare(
    deployment: Checkpoint, consistency: Consistency | None, trusted: TrustedKeys, trust: Trust, findings: Findings
) -> None:
    """Compare with seen checkpoints of the same size, and with the one that a consistency proof is for.

    Others need the tiles of the log: see online.py.
    """
    seen = trust.seen_checkpoints(deployment.origin, trusted)
    proven = deployment.size if consistency is None else consistency.size
    others = [each for each in seen if each.size not in (deployment.size, proven)]
    for each in seen:
        if consistency and each.size == proven < deployment.size and not consistency.shows(each, deployment):
            text = f"The deployment log {shown(each.origin)} was rewritten: its checkpoint of size {deployment.size} "
            findings.add("rewritten", f"{text}does not continue that of size {each.size} that was seen.")
        if each.size == deployment.size and each.root != deployment.root:
            text = f"The deployment log {shown(each.origin)} shows two histories: of size {each.size} it has the root "
            findings.add("fork", f"{text}hashes {each.root.hex()} (seen) and {deployment.root.hex()} (now).")
    trust.report[deployment.origin]["seen_checkpoints"] = {
        "compared": len(seen) - len(others),
        "not_compared": len(others),
    }
