"""Trust: which keys may sign a log, and whether a checkpoint is signed and cosigned as they demand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from quartet_audit_verifier.encoding import FormatError, shown
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.notes import (
    ALGORITHMS,
    CheckedSignature,
    Checkpoint,
    VerifierKey,
    check_signatures,
    parse_vkey,
)
from quartet_audit_verifier.policy import NONE, Policy
from quartet_audit_verifier.state import State, StateError

Source = Literal["given", "saved", "first use"]


@dataclass(frozen=True)
class TrustedKeys:
    """The keys of one log, and where they come from: options and policy, the state, or the log itself."""

    keys: Sequence[VerifierKey]
    source: Source


class SignedCheckpoint(NamedTuple):
    """A checkpoint whose signatures are valid, and the keys that it was checked with."""

    checkpoint: Checkpoint
    trusted: TrustedKeys


@dataclass
class Trust:
    """What the caller trusts: keys by option, a policy, and keys and checkpoints of earlier runs."""

    state: State
    vkeys: Sequence[VerifierKey] = ()
    policy: Policy | None = None
    checkpoints: Sequence[Checkpoint] = ()
    """Checkpoints from elsewhere: another reader, a witness, a file."""
    report: dict[str, Any] = field(default_factory=dict)
    """Signatures by origin, for the report."""

    def keys_of(self, origin: str, own: object) -> TrustedKeys:
        """The keys that may sign the log `origin`; `own` is the list of keys that the log itself shows.

        Keys by option or policy replace all others. The keys of the log count only if nothing is known of it
        (trust on first use). Raises FormatError for an unreadable list.
        """
        if given := self.given_keys(origin):
            return TrustedKeys(given, "given")
        if saved := self.state.keys(origin):
            return TrustedKeys(saved, "saved")
        return TrustedKeys([key for key in parse_keys(own) if key.name == origin], "first use")

    def given_keys(self, origin: str) -> list[VerifierKey]:
        """The keys of a log by option and policy."""
        logs = self.policy.logs if self.policy else ()
        return list({key.text: key for key in (*self.vkeys, *logs) if key.name == origin}.values())

    def seen_checkpoints(self, origin: str, trusted: TrustedKeys) -> list[Checkpoint]:
        """The checkpoints of a log that were saved or given, in the order of their sizes.

        Raises StateError for one that is given and not signed by a trusted key: it would accuse the log of a fork.
        """
        given = [checkpoint for checkpoint in self.checkpoints if checkpoint.origin == origin]
        for checkpoint in given:
            if not any(each.is_valid for each in check_signatures(checkpoint, trusted.keys)):
                text = f"The checkpoint of size {checkpoint.size} of {shown(origin)} that was given is not signed by a "
                raise StateError(f"{text}trusted key of this log.")
        return sorted([*self.state.checkpoints(origin), *given], key=lambda checkpoint: checkpoint.size)

    def save(self, signed: SignedCheckpoint) -> None:
        """Remember a checkpoint and the keys of its log. Raises StateError."""
        self.state.save_checkpoint(signed.checkpoint)
        if signed.trusted.source != "saved":
            for key in signed.trusted.keys:
                self.state.save_key(signed.checkpoint.origin, key)

    def check(self, checkpoint: Checkpoint, trusted: TrustedKeys, findings: Findings) -> SignedCheckpoint | None:
        """Check the log's own signatures: one that is valid of each algorithm of its keys, and none that is not."""
        checked = check_signatures(checkpoint, trusted.keys)
        problems = _problems(checkpoint, trusted, checked)
        for problem in problems:
            findings.add("signature", problem)
        self.report[checkpoint.origin] = {
            "keys": trusted.source,
            "signatures": [_signature_json(each) for each in checked],
        }
        return None if problems else SignedCheckpoint(checkpoint, trusted)

    def check_given(self, origins: Sequence[str], findings: Findings) -> None:
        """Check that keys by option or policy, if there are any, are those of one of these logs."""
        given = {key.name for key in (*self.vkeys, *(self.policy.logs if self.policy else ()))}
        if given and not given & set(origins):
            text = f"The keys that were given are of {shown(sorted(given))}, and none is of {shown(list(origins))}."
            findings.add("signature", text)

    def check_policy(self, checkpoint: Checkpoint, findings: Findings) -> None:
        """Check a checkpoint against the policy, if there is one: its log, and its cosignatures."""
        if self.policy is None:
            return
        if self.policy.logs and checkpoint.origin not in {key.name for key in self.policy.logs}:
            findings.add("signature", f"The policy does not list the log {shown(checkpoint.origin)}.")
        checked = check_signatures(checkpoint, self.policy.witnesses.values())
        valid = {each.key.text for each in checked if each.is_valid}
        names = [name for name, key in self.policy.witnesses.items() if key.text in valid]
        self.report.setdefault(checkpoint.origin, {})["witnesses"] = [_signature_json(each) for each in checked]
        for each in checked:
            if not each.is_valid:
                findings.add("signature", f"The cosignature of {shown(each.key.name)} is not valid.")
        if not self.policy.is_witnessed(names):
            quorum = self.policy.quorum
            text = f"The checkpoint of size {checkpoint.size} of {shown(checkpoint.origin)} has valid cosignatures of "
            findings.add(
                "quorum", f"{text}{shown(names) if names else 'no witness'}, and the quorum is {shown(quorum)}."
            )

    @property
    def needs_witnesses(self) -> bool:
        """Whether the policy asks for cosignatures."""
        return self.policy is not None and self.policy.quorum != NONE


def parse_keys(own: object) -> list[VerifierKey]:
    """The keys in a list of `{"vkey": ...}`. Raises FormatError."""
    if not isinstance(own, list) or len(own) > 1000:
        raise FormatError(f"its list of keys is {shown(own)}")
    texts = [each.get("vkey") if isinstance(each, dict) else None for each in own]
    if not all(isinstance(text, str) for text in texts):
        raise FormatError("its list of keys has a member without a vkey")
    return [parse_vkey(str(text)) for text in texts]


def _problems(checkpoint: Checkpoint, trusted: TrustedKeys, checked: Iterable[CheckedSignature]) -> list[str]:
    what = f"The checkpoint of size {checkpoint.size} of {shown(checkpoint.origin)}"
    if not trusted.keys:
        return [f"{what} cannot be verified: no key of this log is known. Give its vkey, or verify a bundle."]
    invalid = [each for each in checked if not each.is_valid]
    found = [f"{what} has a signature of key {each.key.key_id.hex()} that is not valid." for each in invalid]
    valid = {each.key.kind for each in checked if each.is_valid}
    for kind in sorted({key.kind for key in trusted.keys} - valid):
        ids = ", ".join(key.key_id.hex() for key in trusted.keys if key.kind == kind)
        how = "they are the first that were seen of it" if trusted.source == "saved" else f"keys are {trusted.source}"
        text = f"{what} has no valid {ALGORITHMS[kind]} signature of a trusted key ({ids}; {how})."
        found.append(f"{text} After a rotation of keys, confirm the new vkey with the operator and give it by option.")
    return found


def _signature_json(checked: CheckedSignature) -> dict[str, Any]:
    key = checked.key
    time = None
    if checked.time is not None and checked.time < 1 << 37:
        time = datetime.fromtimestamp(checked.time, UTC).isoformat().replace("+00:00", "Z")
    return {
        "name": key.name, "key_id": key.key_id.hex(), "algorithm": key.algorithm, "valid": checked.is_valid,
        "time": time,
    }  # fmt: skip
