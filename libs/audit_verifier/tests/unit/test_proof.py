"""Proofs of single entries, as JSON and as text, and what is changed in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet_audit_verifier.notes import parse_vkey
from quartet_audit_verifier.policy import parse_policy
from quartet_audit_verifier.proof import MAX_PROOF, verify_proof
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import State
from quartet_audit_verifier.trust import Trust
from quartet_testing.audit_bundles import Document, Log, Signer, b64, edit_part

Verify = Callable[..., Report]
SMALL = Log().append(7)
JSON_PROOF = json.dumps(SMALL.proof(4)).encode()
TEXT_PROOF = SMALL.text_proof(4).encode()


def trust_of(log: Log, state: Path | None = None, **more: Any) -> Trust:
    keys = [parse_vkey(each.vkey) for each in (log.signer, *log.deployment_signers)]
    return Trust(State(state), keys, **more)


def kinds(report: Report) -> set[str]:
    return set(report.findings.counts)


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 600])
def test_proofs_of_all_sizes_are_verified(log: Log, size: int) -> None:
    for index in {0, size // 2, size - 1}:
        report = verify_proof(json.dumps(log.proof(index, size)).encode(), trust_of(log), "acme")
        assert report.is_verified, report.as_text()
        assert (report.facts["leaf_index"], report.facts["id"]) == (index, str(log.entries[index].id))


def test_a_text_is_verified() -> None:
    report = verify_proof(TEXT_PROOF, trust_of(SMALL))
    assert report.is_verified, report.as_text()
    assert report.facts["leaf_index"] == 4


def test_the_proof_of_a_log_of_one_entry_has_no_hashes() -> None:
    log = Log().append(1)
    assert verify_proof(log.text_proof(0).encode(), trust_of(log)).is_verified


def test_a_proof_of_an_unknown_log_is_not_verified() -> None:
    report = verify_proof(JSON_PROOF, Trust(State(None)))
    assert kinds(report) == {"signature"}
    assert "no key of this log is known" in report.as_text()


def test_a_proof_is_verified_with_the_keys_of_an_earlier_bundle(log: Log, verify: Verify, tmp_path: Path) -> None:
    assert verify(log.documents()).is_verified
    trust = Trust(State(tmp_path / "state"))
    assert verify_proof(json.dumps(log.proof(5)).encode(), trust).is_verified


def test_the_checkpoint_of_a_proof_is_one_that_was_seen(log: Log, verify: Verify, tmp_path: Path) -> None:
    """Who has got a proof of an entry finds its log rewritten."""
    proof = json.dumps(log.proof(20, 100)).encode()
    assert verify_proof(proof, trust_of(log, tmp_path / "state")).is_verified
    entry = log.entries[20]
    entry.parts["changes"] = log.part({"data": {}})
    entry.seal()
    assert set(verify(log.documents()).findings.counts) == {"rewritten"}


def test_a_proof_of_a_fork_is_found(log: Log, verify: Verify, tmp_path: Path) -> None:
    assert verify(log.documents()).is_verified
    log.entries[20].parts["changes"] = log.part({"data": {}})
    log.entries[20].seal()
    report = verify_proof(json.dumps(log.proof(5)).encode(), Trust(State(tmp_path / "state")))
    assert kinds(report) == {"fork"}


def test_erased_parts_are_verified_and_others_must_be_there(log: Log) -> None:
    log.erase([5])
    report = verify_proof(json.dumps(log.proof(5)).encode(), trust_of(log))
    assert report.is_verified, report.as_text()
    assert report.facts["erased_parts"] == {"actor": 1}
    proof = log.proof(5)
    proof["parts"]["actor"] = {"erased": {}}
    assert kinds(verify_proof(json.dumps(proof).encode(), trust_of(log))) == {"erasure"}
    del proof["parts"]["actor"]
    assert kinds(verify_proof(json.dumps(proof).encode(), trust_of(log))) == {"missing_part"}


@pytest.mark.parametrize("part", ["facts", "actor", "resource", "changes"])
@pytest.mark.parametrize("what", ["bytes", "salt"])
def test_a_changed_part_is_found(part: str, what: str) -> None:
    proof = json.loads(JSON_PROOF)
    edit_part(proof, part, lambda raw: raw[:5] + bytes([raw[5] ^ 1]) + raw[6:], what)
    report = verify_proof(json.dumps(proof).encode(), trust_of(SMALL))
    assert [(each.kind, each.part) for each in report.findings.listed] == [("changed", part)]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"leaf_index": 3}, "out_of_order"),
        ({"tree_size": 6}, "root"),
        ({"root_hash": b64(bytes(32))}, "root"),
        ({"leaf_hash": b64(bytes(32))}, "leaf"),
        ({"leaf": b64(SMALL.entries[3].leaf)}, "root"),
        ({"hashes": SMALL.proof(3)["hashes"]}, "root"),
        ({"checkpoint": SMALL.note(6)}, "root"),
        ({"hashes": [b64(bytes(32))] * 64}, "malformed"),
        ({"hashes": []}, "malformed"),
        ({"hashes": [5]}, "malformed"),
        ({"leaf": "AQ=="}, "malformed"),
        ({"leaf_index": 7}, "malformed"),
        ({"checkpoint": None}, "malformed"),
        ({"parts": None}, "malformed"),
        ({"deployment": None}, "deployment"),
    ],
)
def test_a_changed_proof_is_found(change: Document, kind: str) -> None:
    report = verify_proof(json.dumps({**json.loads(JSON_PROOF), **change}).encode(), trust_of(SMALL))
    assert kind in kinds(report)


def test_a_proof_of_another_tenant_is_found() -> None:
    assert "wrong_log" in kinds(verify_proof(JSON_PROOF, trust_of(SMALL), "globex"))


def test_a_checkpoint_of_another_key_is_found() -> None:
    forged = Log(seed=9)
    forged.entries = SMALL.entries
    assert "signature" in kinds(verify_proof(json.dumps(forged.proof(4)).encode(), trust_of(SMALL)))


def test_a_policy_asks_for_cosignatures_of_the_deployment_log(log: Log) -> None:
    witness = Signer("w.example", 4, bytes(32))
    logs = "".join(f"log {each.vkey}\n" for each in log.deployment_signers)
    policy = parse_policy(f"{logs}witness w {witness.vkey}\nquorum w\n".encode())
    report = verify_proof(json.dumps(log.proof(5)).encode(), trust_of(log, policy=policy))
    assert kinds(report) == {"quorum"}
    log.witnesses = [witness]
    report = verify_proof(json.dumps(log.proof(5)).encode(), trust_of(log, policy=policy))
    assert report.is_verified, report.as_text()
    text = verify_proof(log.text_proof(5).encode(), trust_of(log, policy=policy))
    assert kinds(text) == {"deployment"}  # a tlog-proof has one checkpoint: that of the tenant


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v2\n"),
        ("index 4", "index 04"),
        ("index 4", "index 5"),
        ("index 4", "index"),
        ("extra ", "Extra "),
        ("\n\n", "\n"),
        ("\n\n", "\n\n\n"),
        ("\n", "\r\n"),
    ],
)
def test_texts_in_another_form_are_not_verified(old: str, new: str) -> None:
    changed = TEXT_PROOF.decode().replace(old, new, 1).encode()
    assert not verify_proof(changed, trust_of(SMALL)).is_verified


def test_a_text_without_the_leaf_is_not_verified() -> None:
    lines = TEXT_PROOF.decode().split("\n")
    report = verify_proof("\n".join([lines[0], *lines[2:]]).encode(), trust_of(SMALL))
    assert "no line `extra`" in report.as_text()


def test_json_without_parts_is_not_verified() -> None:
    document = json.loads(JSON_PROOF)
    for changed in ({**document, "parts": None}, {name: document[name] for name in document if name != "parts"}):
        report = verify_proof(json.dumps(changed).encode(), trust_of(SMALL))
        assert "The parts of entry 4 are None." in report.as_text()


def test_what_is_no_proof_is_found() -> None:
    for raw in (b"", b"{}", b"[]", b"\xff", b"c2sp.org/tlog-proof@v1\n\xff", b"[" * 100_000, b"x" * (MAX_PROOF + 1)):
        report = verify_proof(raw, trust_of(SMALL))
        assert kinds(report) == {"malformed"}
        assert report.as_text()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(is_text=st.booleans(), position=st.integers(0, 20_000), remove=st.integers(0, 2), insert=st.binary(max_size=2))
def test_no_mutation_ends_in_a_traceback_or_is_verified(
    is_text: bool, position: int, remove: int, insert: bytes
) -> None:
    good = TEXT_PROOF if is_text else JSON_PROOF
    raw = bytearray(good)
    position %= len(raw)
    raw[position : position + remove] = insert
    report = verify_proof(bytes(raw), trust_of(SMALL))
    assert report.as_text()
    if report.is_verified and is_text:
        assert bytes(raw) == good
    elif report.is_verified:
        wanted = json.loads(good)
        found = {name: value for name, value in json.loads(raw).items() if name in wanted}
        assert found in (wanted, {name: wanted[name] for name in wanted if name != "deployment"})
