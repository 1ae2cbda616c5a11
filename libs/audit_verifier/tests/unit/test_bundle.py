"""Bundles of an operator who can change all that is stored: each change is found and named."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quartet_audit_verifier.findings import LIMIT
from quartet_audit_verifier.notes import parse_checkpoint, parse_vkey
from quartet_audit_verifier.policy import parse_policy
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import State, StateError
from quartet_audit_verifier.trust import Trust
from quartet_testing.audit_bundles import Document, Entry, Log, Signer, b64, edit_part, encode

Verify = Callable[..., Report]


def kinds(report: Report) -> dict[str, int]:
    return {str(kind): count for kind, count in report.findings.counts.items()}


def places(report: Report, kind: str) -> list[tuple[int | None, str | None]]:
    return [(each.sequence, each.part) for each in report.findings.listed if each.kind == kind]


def messages(report: Report) -> str:
    return "\n".join(each.message for each in report.findings.listed)


def line_of(documents: list[Document], sequence: int) -> int:
    """The position of an entry in a bundle."""
    [position] = [number for number, each in enumerate(documents) if each.get("sequence") == sequence]
    return position


def flip(position: int) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        changed = bytearray(raw)
        changed[position] ^= 1
        return bytes(changed)

    return change


def leaf_flip(document: Document, position: int) -> None:
    document["leaf"] = b64(flip(position)(base64.b64decode(document["leaf"])))


def test_an_unchanged_bundle_is_verified(log: Log, verify: Verify) -> None:
    report = verify(log.documents())
    assert report.is_verified, messages(report)
    facts = report.facts
    assert (facts["entries"], facts["tiles"], facts["size"], facts["tenant"]) == (600, 2, 600, "acme")
    assert facts["parts"] == {"facts": 600, "actor": 600, "resource": 600, "source": 400, "changes": 600}
    assert (facts["first_time"], facts["last_time"]) == ("2026-01-31T09:00:00Z", "2026-01-31T09:09:59Z")
    assert "cosignatures: no policy asks for any" in report.as_text()


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513])
def test_bundles_of_all_sizes_around_tiles_are_verified(size: int, verify: Verify) -> None:
    assert verify(Log().append(size).documents()).is_verified


def test_the_first_use_of_a_log_is_said_and_later_its_keys_are_known(log: Log, verify: Verify) -> None:
    first, second = verify(log.documents()), verify(log.documents())
    assert {each["keys"] for each in first.facts["logs"].values()} == {"first use"}
    assert "FIRST USE" in first.as_text()
    assert {each["keys"] for each in second.facts["logs"].values()} == {"saved"}
    assert "FIRST USE" not in second.as_text()


@pytest.mark.parametrize("part", ["facts", "actor", "resource", "source", "changes"])
@pytest.mark.parametrize("what", ["bytes", "salt"])
def test_a_changed_byte_of_a_payload_or_a_salt_is_found(log: Log, verify: Verify, part: str, what: str) -> None:
    documents = log.documents()
    edit_part(documents[line_of(documents, 300)], part, flip(10), what)
    report = verify(documents)
    assert places(report, "changed") == [(300, part)]
    assert not report.findings.has("root", "tile", "leaf", "missing")
    assert f"Part {part} of entry 300 was changed" in messages(report)


@pytest.mark.parametrize(("sequence", "has_tile"), [(300, True), (599, False)])
def test_a_changed_commitment_is_found(log: Log, verify: Verify, sequence: int, has_tile: bool) -> None:
    documents = log.documents()
    leaf_flip(documents[line_of(documents, sequence)], -1)
    report = verify(documents)
    assert places(report, "changed") == [(sequence, "changes")]
    assert places(report, "leaf") == ([(sequence, None)] if has_tile else [])
    assert kinds(report)["root"] == 1
    assert ("The tiles do give it" in messages(report)) == has_tile


@pytest.mark.parametrize(("position", "member"), [(16, "time"), (20, "id"), (40, "action")])
def test_a_changed_field_of_a_leaf_is_found(log: Log, verify: Verify, position: int, member: str) -> None:
    documents = log.documents()
    leaf_flip(documents[line_of(documents, 20)], position)
    report = verify(documents)
    assert places(report, "disagreement") == [(20, "facts")]
    assert f"the {member} " in messages(report)
    assert places(report, "leaf") == [(20, None)]


def test_a_leaf_with_another_sequence_is_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    leaf_flip(documents[line_of(documents, 20)], 8)
    report = verify(documents)
    assert "Entry 20 has the leaf of entry 21." in messages(report)
    assert report.findings.has("root")


def test_a_leaf_and_its_facts_that_are_changed_together_are_found_by_the_tree(log: Log, verify: Verify) -> None:
    entry = log.entries[20]
    documents = log.documents()
    entry.parts["changes"] = log.part({"data": {"attribute": "forged"}})
    entry.seal()
    documents[line_of(documents, 20)] = entry.document()
    report = verify(documents)
    assert (places(report, "leaf"), kinds(report)) == ([(20, None)], {"leaf": 1, "root": 1})
    assert "The leaf of entry 20 was changed" in messages(report)


def test_a_changed_hash_of_a_tile_is_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    tiles = [each for each in documents if "tile" in each]
    tiles[1]["hashes"] = b64(flip(32 * 5 + 3)(base64.b64decode(tiles[1]["hashes"])))
    report = verify(documents)
    assert (places(report, "tile"), kinds(report)) == ([(261, None)], {"tile": 1})
    assert "Tile 0/1 was changed" in messages(report)


def test_a_changed_hash_of_a_tile_of_level_1_is_found(verify: Verify) -> None:
    documents = tall_bundle()
    [tile] = [each for each in documents if each.get("tile") == [1, 0]]
    tile["hashes"] = b64(flip(32 * 7)(base64.b64decode(tile["hashes"])))
    report = verify(documents)
    assert (places(report, "tile"), kinds(report)) == ([(7 * 256, None)], {"tile": 1})
    assert "entries 1792 to 2047" in messages(report)


def test_a_bundle_with_tiles_of_level_1_is_verified(verify: Verify) -> None:
    report = verify(tall_bundle())
    assert report.is_verified, messages(report)
    assert report.facts["tiles"] == 2


def tall_bundle() -> list[Document]:
    """The last 300 of 65,600 entries; the earlier ones are copies of one entry without parts."""
    log = Log().append(1)
    log.entries = [replace(log.entries[0], parts={}) for _ in range(65_300)]
    return log.append(300).documents(65_300)


def test_a_missing_tile_is_found(log: Log, verify: Verify) -> None:
    documents = [each for each in log.documents() if each.get("tile") != [0, 1]]
    assert kinds(verify(documents)) == {"tile": 1}


def test_tiles_in_another_place_are_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    tile = documents.pop(next(number for number, each in enumerate(documents) if "tile" in each))
    report = verify([*documents[:100], tile, *documents[100:]])
    assert report.findings.has("tile", "missing", "out_of_order")
    assert not report.is_verified


def test_two_swapped_lines_are_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    first = line_of(documents, 300)
    documents[first : first + 2] = reversed(documents[first : first + 2])
    report = verify(documents)
    assert (places(report, "out_of_order"), kinds(report)) == ([(300, None)], {"out_of_order": 1})
    assert "Entry 300 comes after entry 301." in messages(report)


@pytest.mark.parametrize("other", [301, 590])
def test_two_swapped_entries_are_found(log: Log, verify: Verify, other: int) -> None:
    documents = log.documents()
    first, second = line_of(documents, 300), line_of(documents, other)
    one, two = documents[first], documents[second]
    one["sequence"], two["sequence"] = other, 300
    documents[first], documents[second] = two, one
    report = verify(documents)
    found = places(report, "out_of_order")
    assert sorted(sequence or 0 for sequence, _ in found) == [300, other]
    assert f"Entry 300 has the leaf of entry {other}." in messages(report)
    assert report.findings.has("root")


def test_an_entry_that_comes_twice_is_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    documents.insert(300, documents[200])
    report = verify(documents)
    assert kinds(report) == {"out_of_order": 1}
    assert "comes again" in messages(report)


@pytest.mark.parametrize("begin", [0, 250, 400])
def test_missing_entries_are_found(log: Log, verify: Verify, begin: int) -> None:
    documents = [each for each in log.documents() if not begin <= each.get("sequence", -1) < begin + 10]
    report = verify(documents)
    assert places(report, "missing") == [(begin, None)]
    assert f"Entries {begin} to {begin + 9} are missing." in messages(report)
    assert "The tiles do give it" in messages(report)
    assert kinds(report) == {"missing": 1, "root": 1}


def test_the_last_ten_entries_that_are_deleted_are_found(log: Log, verify: Verify) -> None:
    documents = [each for each in log.documents() if each.get("sequence", 0) < 590]
    report = verify(documents)
    assert places(report, "missing") == [(590, None)]
    assert "Entries 590 to 599 are missing." in messages(report)


def test_the_last_ten_entries_deleted_and_signed_again_are_found_by_a_saved_checkpoint(
    log: Log, verify: Verify
) -> None:
    assert verify(log.documents()).is_verified
    report = verify(log.documents(size=590))
    assert kinds(report) == {"rolled_back": 1}
    assert "Entries 590 to 599 are missing" in messages(report)


def rewrite(log: Log, sequence: int) -> None:
    """Change an entry, its leaf and with them the tree, as the holder of the database and the keys can."""
    entry = log.entries[sequence]
    entry.parts["changes"] = log.part({"data": {"attribute": "title", "after": "rewritten"}})
    entry.seal()


@pytest.mark.parametrize("seen", [21, 256, 300, 599])
def test_a_rewritten_and_signed_log_is_found_by_a_saved_checkpoint(log: Log, verify: Verify, seen: int) -> None:
    assert verify(log.documents(size=20)).is_verified
    assert verify(log.documents(size=seen)).is_verified
    rewrite(log, 20)
    report = verify(log.documents())
    assert kinds(report) == {"rewritten": 1}
    assert f"was rewritten before entry {seen}" in messages(report)


def test_a_rewritten_log_is_found_at_the_same_size_as_a_fork(log: Log, verify: Verify) -> None:
    assert verify(log.documents()).is_verified
    rewrite(log, 20)
    report = verify(log.documents())
    assert kinds(report) == {"fork": 1}
    assert "two histories" in messages(report)


def test_a_rewritten_log_is_not_remembered(log: Log, verify: Verify, tmp_path: Path) -> None:
    assert verify(log.documents(size=100)).is_verified
    rewrite(log, 20)
    assert not verify(log.documents()).is_verified
    assert [each.size for each in State(tmp_path / "state").checkpoints(log.origin)] == [100]


def test_what_was_not_rewritten_is_remembered_in_spite_of_a_changed_payload(
    log: Log, verify: Verify, tmp_path: Path
) -> None:
    documents = log.documents()
    edit_part(documents[1], "actor", flip(3))
    assert not verify(documents).is_verified
    assert [each.size for each in State(tmp_path / "state").checkpoints(log.origin)] == [600]


def test_two_readers_who_are_shown_different_logs_find_the_fork_with_each_others_checkpoints(
    log: Log, verify: Verify, tmp_path: Path
) -> None:
    mine, other = log.documents(), Log().append(600)
    rewrite(other, 500)
    others = parse_checkpoint(other.documents()[-1]["checkpoint"])
    report = verify(mine, trust=Trust(State(None), checkpoints=[others]))
    assert kinds(report) == {"fork": 1}
    smaller = parse_checkpoint(other.note(550))
    report = verify(mine, trust=Trust(State(None), checkpoints=[smaller]))
    assert kinds(report) == {"rewritten": 1}


def test_a_given_checkpoint_that_the_log_has_not_signed_accuses_nobody(log: Log, verify: Verify) -> None:
    forged = Log(seed=2).append(600).note()
    with pytest.raises(StateError, match="not signed by a trusted key"):
        verify(log.documents(), trust=Trust(State(None), checkpoints=[parse_checkpoint(forged)]))


def policy_of(log: Log, *witnesses: Signer) -> str:
    logs = "".join(f"log {each.vkey}\n" for each in log.deployment_signers)
    names = [f"w{number}" for number in range(len(witnesses))]
    lines = "".join(f"witness {name} {each.vkey}\n" for name, each in zip(names, witnesses, strict=True))
    return f"{logs}{lines}group all-of-them all {' '.join(names)}\nquorum all-of-them\n"


def trust_of(policy: str, state: Path | None = None) -> Trust:
    return Trust(State(state), policy=parse_policy(policy.encode()))


@pytest.fixture
def witnesses() -> list[Signer]:
    return [Signer("w.example/1", 4, b"1" * 32), Signer("w.example/2", 6, b"2" * 32)]


def test_a_witnessed_log_satisfies_its_policy(log: Log, verify: Verify, witnesses: list[Signer]) -> None:
    log.witnesses = witnesses
    report = verify(log.documents(), trust=trust_of(policy_of(log, *witnesses)))
    assert report.is_verified, messages(report)
    assert [each["name"] for each in report.facts["logs"][log.deployment_origin]["witnesses"]] == [
        "w.example/1",
        "w.example/2",
    ]


def test_a_rewritten_log_that_the_witnesses_do_not_sign_does_not_satisfy_the_policy(
    log: Log, verify: Verify, witnesses: list[Signer]
) -> None:
    """A witness refuses a deployment log that is no continuation, so the rewrite has old cosignatures or none."""
    policy = policy_of(log, *witnesses)
    rewrite(log, 20)
    log.witnesses = witnesses[:1]
    report = verify(log.documents(), trust=trust_of(policy))
    assert kinds(report) == {"quorum": 1}
    assert "['w0'], and the quorum is 'all-of-them'" in messages(report)


def test_cosignatures_of_an_older_deployment_checkpoint_do_not_fit_a_new_one(
    log: Log, verify: Verify, witnesses: list[Signer]
) -> None:
    log.witnesses = witnesses
    policy = policy_of(log, *witnesses)
    old = log.documents()[-1]["deployment"]["checkpoint"]
    lines = [line for line in old.split("\n") if "w.example" in line]
    log.witnesses = []
    documents = log.documents()
    documents[-1]["deployment"]["checkpoint"] += "".join(f"{line}\n" for line in lines)
    assert kinds(verify(documents, trust=trust_of(policy))) == {"signature": 2, "quorum": 1}


def test_an_old_deployment_proof_does_not_fit_a_rewritten_checkpoint(
    log: Log, verify: Verify, witnesses: list[Signer]
) -> None:
    log.witnesses = witnesses
    old = log.documents()[-1]["deployment"]
    rewrite(log, 20)
    documents = log.documents()
    documents[-1]["deployment"] = old
    report = verify(documents, trust=trust_of(policy_of(log, *witnesses)))
    assert kinds(report) == {"deployment": 1}
    assert "does not commit to the checkpoint" in messages(report)


def test_an_old_bundle_that_is_shown_again_is_found(log: Log, verify: Verify) -> None:
    old = encode(log.documents())
    log.append(10)
    assert verify(log.documents()).is_verified
    assert kinds(verify(old)) == {"rolled_back": 1}


def test_an_old_checkpoint_under_new_entries_is_found(log: Log, verify: Verify) -> None:
    old = log.documents(size=590)[-1]
    documents = [*log.documents()[:-1], old]
    report = verify(documents)
    assert report.findings.has("disagreement", "root")


@pytest.mark.parametrize("part", ["facts", "actor", "changes"])
def test_a_part_that_is_removed_is_found(log: Log, verify: Verify, part: str) -> None:
    documents = log.documents()
    del documents[50]["parts"][part]
    report = verify(documents)
    assert (places(report, "missing_part"), kinds(report)) == ([(49, part)], {"missing_part": 1})


def test_a_part_that_the_entry_never_had_is_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    documents[3]["parts"]["source"] = documents[1]["parts"]["source"]
    report = verify(documents)
    assert places(report, "unexpected_part") == [(2, "source")]


def test_erased_parts_are_counted_and_verified(log: Log, verify: Verify) -> None:
    log.erase([5, 6, 300])
    log.erase([5], "changes")
    report = verify(log.documents())
    assert report.is_verified, messages(report)
    assert report.facts["erased"] == {"actor": 3, "changes": 1}
    assert report.facts["erasure_requests"] == {"recorded": 2, "later": 0}
    assert "erased: actor 3, changes 1" in report.as_text()


def test_a_proof_and_a_checkpoint_of_before_an_erasure_stay_valid(log: Log, verify: Verify) -> None:
    assert verify(log.documents()).is_verified
    log.erase([5, 6, 300])
    assert verify(log.documents()).is_verified


@pytest.mark.parametrize(
    "record", [None, {}, {"time": "2026-01-31T09:00:00Z"}, {"request": "x", "time": "2026-01-31T09:00:00Z"}, "today"]
)
def test_an_erasure_without_time_and_request_is_found(log: Log, verify: Verify, record: Any) -> None:
    documents = log.documents()
    documents[50]["parts"]["actor"] = {"erased": record}
    assert places(verify(documents), "erasure") == [(49, "actor")]


def test_an_erasure_that_no_entry_records_is_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    record = {"time": "2026-01-31T09:05:00Z", "request": "01900000-0000-7000-8000-000000000000"}
    documents[50]["parts"]["actor"] = {"erased": record}
    report = verify(documents)
    assert (places(report, "erasure"), kinds(report)) == ([(49, None)], {"erasure": 1})
    assert "which no later entry records" in messages(report)


def test_another_entry_does_not_record_an_erasure(log: Log, verify: Verify) -> None:
    documents = log.documents()
    documents[50]["parts"]["actor"] = {"erased": {"time": "2026-01-31T09:05:00Z", "request": str(log.entries[400].id)}}
    assert kinds(verify(documents)) == {"erasure": 1}


def test_an_entry_of_another_action_does_not_record_an_erasure(log: Log, verify: Verify) -> None:
    identifier = "01900000-0000-7000-8000-000000000000"
    documents = log.append(1, "audit.erasure.completed", ("erasures", identifier)).append(100).documents()
    documents[50]["parts"]["actor"] = {"erased": {"time": "2026-01-31T09:05:00Z", "request": identifier}}
    assert kinds(verify(documents)) == {"erasure": 1}


def test_an_erasure_after_the_end_of_the_bundle_is_no_finding_yet(log: Log, verify: Verify) -> None:
    log.erase([5])
    report = verify(log.documents(size=600))
    assert report.is_verified, messages(report)
    assert report.facts["erasure_requests"] == {"recorded": 0, "later": 1}


def test_facts_are_never_erased(log: Log, verify: Verify) -> None:
    log.erase([5], "facts")
    assert places(verify(log.documents()), "erasure") == [(5, "facts")]


def test_an_entry_without_parts_is_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    del documents[50]["parts"]
    report = verify(documents)
    assert kinds(report) == {"malformed": 1}
    assert "The parts of entry 49 are None" in messages(report)


def expire(log: Log, documents: list[Document], count: int) -> list[Document]:
    """Leave only the leaf hashes of the first entries of a bundle."""
    hashes = log.hashes()
    return [
        {"sequence": one["sequence"], "leaf_hash": b64(hashes[one["sequence"]])}
        if one.get("sequence", count) < count
        else one
        for one in documents
    ]


def claim(documents: list[Document], time: str, before: int = 300) -> list[Document]:
    """Have the bundle say how far its log has expired."""
    documents[-1]["expired"] = {"before": before, "time": time}
    return documents


@pytest.mark.parametrize("begin", [0, 100, 256, 299])
def test_expired_entries_are_verified_by_their_hashes_once_the_run_is_recorded(
    log: Log, verify: Verify, begin: int
) -> None:
    documents = log.append(1, "audit.retention.applied", ("retention", "300")).documents(begin)
    report = verify(expire(log, documents, 300))
    assert report.is_verified, messages(report)
    assert report.facts["expired"] == {"entries": 300 - begin, "last": 299, "later": False}
    assert report.facts["parts"]["facts"] == 301
    assert f"expired by retention: {300 - begin}, the last one 299" in report.as_text()


def test_a_changed_hash_of_an_expired_entry_is_found(log: Log, verify: Verify) -> None:
    documents = expire(log, log.append(1, "audit.retention.applied", ("retention", "300")).documents(), 300)
    documents[8]["leaf_hash"] = documents[9]["leaf_hash"]
    report = verify(documents)
    assert report.findings.has("root")
    assert (7, None) in places(report, "leaf")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("audit.retention.applied", ("retention", "299")),
        ("audit.retention.applied", ("retention", "601")),  # more than there is before it
        ("audit.retention.applied", ("retentions", "300")),
        ("audit.retention.applied", ("retention", "x")),
        ("audit.retention.changed", ("retention", "300")),
    ],
)
def test_expired_entries_of_a_run_that_is_not_recorded_are_found(
    log: Log, verify: Verify, action: str, resource: tuple[str, str]
) -> None:
    documents = expire(log, log.append(1, action, resource).documents(), 300)
    report = verify(claim(documents, "2026-01-31T09:05:00Z"))
    assert (places(report, "retention"), kinds(report)) == ([(299, None)], {"retention": 1})


def test_a_run_that_is_recorded_after_the_end_of_the_bundle_is_no_finding_yet(log: Log, verify: Verify) -> None:
    documents = expire(log, log.documents(), 300)
    report = verify(claim(documents, "2026-01-31T09:10:00Z"))
    assert report.is_verified, messages(report)
    assert report.facts["expired"]["later"]
    assert "to be recorded" in report.as_text()
    assert kinds(verify(claim(documents, "2026-01-31T09:10:00Z", 299))) == {"retention": 1}


@pytest.mark.parametrize(
    "line", [{"leaf_hash": 5}, {"leaf_hash": b64(b"x" * 31)}, {"leaf_hash": b64(b"x" * 32), "parts": {}}]
)
def test_an_expired_entry_that_cannot_be_read_is_found(log: Log, verify: Verify, line: dict[str, Any]) -> None:
    documents = log.documents()
    documents[50] = {"sequence": 49, **line}
    assert places(verify(documents), "malformed") == [(49, None)]


def test_a_bundle_of_another_tenant_is_found(log: Log, verify: Verify) -> None:
    assert verify(log.documents(), tenant="acme").is_verified
    report = verify(log.documents(), tenant="globex")
    assert report.findings.has("wrong_log")
    assert "The bundle is of tenant 'acme', expected 'globex'." in messages(report)


def test_an_entry_of_another_tenant_is_found(log: Log, verify: Verify) -> None:
    other = Log("globex").append(600)
    entry = replace(log.entries[7], parts={**log.entries[7].parts, "facts": other.entries[7].parts["facts"]})
    entry.seal()
    log.entries[7] = entry
    report = verify(log.documents())
    assert (7, "facts") in places(report, "wrong_log")
    assert "belongs to tenant 'globex'" in messages(report)


@pytest.mark.parametrize("origin", ["quartet.example/audit/log/globex", "quartet.example/acme", "acme"])
def test_an_origin_that_is_not_of_the_tenant_is_found(log: Log, verify: Verify, origin: str) -> None:
    log.origin = origin
    log.signer = replace(log.signer, name=origin)
    assert verify(log.documents()).findings.has("wrong_log")


def test_a_checkpoint_of_another_log_is_found(log: Log, verify: Verify) -> None:
    documents = log.documents()
    documents[-1]["checkpoint"] = Log("globex").append(600).note()
    assert verify(documents).findings.has("wrong_log", "signature", "deployment")


def test_a_checkpoint_that_is_signed_by_another_key_is_found(log: Log, verify: Verify) -> None:
    log.signer = replace(log.signer, seed=b"x" * 32)
    documents = log.documents()
    documents[0] = Log().append(600).documents()[0]
    report = verify(documents)
    assert kinds(report) == {"signature": 1}
    assert "has no valid Ed25519 signature of a trusted key" in messages(report)


@pytest.mark.parametrize("position", [0, 1])
def test_each_signature_of_the_deployment_log_is_needed(log: Log, verify: Verify, position: int) -> None:
    own = Log().append(600).documents()[0]
    del log.deployment_signers[position]
    documents = log.documents()
    documents[0] = own
    report = verify(documents)
    assert kinds(report) == {"signature": 1}
    assert ("Ed25519", "ML-DSA-44")[position] in messages(report)


def test_new_keys_in_a_known_log_are_not_trusted(log: Log, verify: Verify) -> None:
    assert verify(log.documents()).is_verified
    log.signer = replace(log.signer, seed=b"x" * 32)
    report = verify(log.documents())
    assert kinds(report) == {"signature": 1}
    assert "After a rotation of keys" in messages(report)


def test_a_rotated_key_is_accepted_and_remembered_when_it_is_given(log: Log, verify: Verify, tmp_path: Path) -> None:
    assert verify(log.documents()).is_verified
    log.signer = replace(log.signer, seed=b"x" * 32)
    state = State(tmp_path / "state")
    assert verify(log.documents(), trust=Trust(state, [parse_vkey(log.signer.vkey)])).is_verified
    assert verify(log.documents()).is_verified


def test_given_keys_are_the_only_ones_that_count(log: Log, verify: Verify) -> None:
    key = parse_vkey(replace(log.signer, seed=b"x" * 32).vkey)
    report = verify(log.documents(), trust=Trust(State(None), [key]))
    assert kinds(report) == {"signature": 1}


def test_given_keys_of_another_log_are_no_reason_to_trust_this_one(log: Log, verify: Verify) -> None:
    key = parse_vkey(Log("globex").signer.vkey)
    report = verify(log.documents(), trust=Trust(State(None), [key]))
    assert kinds(report) == {"signature": 1}
    assert "none is of" in messages(report)


def test_a_policy_that_does_not_list_the_deployment_log_is_not_satisfied(log: Log, verify: Verify) -> None:
    report = verify(log.documents(), trust=trust_of(f"log {log.signer.vkey}\nquorum none\n"))
    assert kinds(report) == {"signature": 1}
    assert "does not list" in messages(report)


@pytest.mark.parametrize("member", ["leaf", "salt", "root_hash"])
def test_a_changed_deployment_proof_is_found(log: Log, verify: Verify, member: str) -> None:
    log.documents()
    documents = log.documents()
    proof = documents[-1]["deployment"]
    proof[member] = b64(flip(5)(base64.b64decode(proof[member])))
    assert verify(documents).findings.has("deployment")


@pytest.mark.parametrize("change", [{"leaf_index": 0}, {"tree_size": 1}, {"hashes": [b64(bytes(32))]}])
def test_a_deployment_proof_of_another_place_is_found(log: Log, verify: Verify, change: Document) -> None:
    log.documents()
    documents = log.documents()
    documents[-1]["deployment"].update(change)
    assert verify(documents).findings.has("deployment")


@pytest.mark.parametrize("value", [None, [], "x", {}, {"checkpoint": 5}, {"checkpoint": "x"}])
def test_a_deployment_proof_that_cannot_be_read_is_found(log: Log, verify: Verify, value: Any) -> None:
    documents = log.documents()
    documents[-1]["deployment"] = value
    assert verify(documents).findings.has("deployment", "malformed")


def test_a_fork_of_the_deployment_log_is_found(log: Log, verify: Verify) -> None:
    assert verify(log.documents()).is_verified
    log.deployment.clear()
    report = verify(log.documents())
    assert kinds(report) == {"fork": 1}
    assert "The deployment log" in messages(report)


def test_pieces_that_follow_each_other_are_one_bundle(log: Log, verify: Verify) -> None:
    first = encode(log.documents())
    cut = first[: first.index(b'{"sequence":300,') + 700]
    report = verify(cut, log.append(7).documents(300))
    assert report.is_verified, messages(report)
    assert (report.facts["entries"], report.facts["from"], report.facts["size"]) == (607, 0, 607)


@pytest.mark.parametrize("begin", [255, 256, 257])
def test_a_piece_may_begin_at_a_tile(log: Log, verify: Verify, begin: int) -> None:
    documents = log.documents()
    pieces = [encode(documents[: line_of(documents, begin)]), log.documents(begin)]
    report = verify(*pieces)
    assert report.is_verified, messages(report)


def test_a_piece_that_does_not_follow_is_found(log: Log, verify: Verify) -> None:
    cut = encode(log.documents()[:200])
    assert "begins with entry 150" in messages(verify(cut, log.documents(150)))
    other = Log(seed=2).append(600)
    assert verify(cut, other.documents(199)).findings.has("root")


def test_a_piece_alone_is_verified_and_says_where_it_begins(log: Log, verify: Verify) -> None:
    report = verify(log.documents(300))
    assert report.is_verified, messages(report)
    assert (report.facts["from"], report.facts["entries"]) == (300, 300)
    assert "from 300 on" in report.as_text()


def test_a_piece_is_linked_to_what_was_seen_before_it(log: Log, verify: Verify) -> None:
    assert verify(log.documents(size=300)).is_verified
    assert verify(log.documents(300)).is_verified
    assert verify(log.append(10).documents(500)).is_verified


def test_a_piece_that_is_not_linked_to_what_was_seen_is_found(log: Log, verify: Verify) -> None:
    assert verify(log.documents(size=200)).is_verified
    report = verify(log.documents(300))
    assert kinds(report) == {"unlinked": 1}


def pieces_of(log: Log) -> list[list[Document]]:
    """Three pieces, each with its checkpoints, which the deployment log of the next one continues."""
    found = [log.documents()]
    for begin in (600, 650):
        known = len(log.deployment)
        found.append(log.append(50).documents(begin, deployment=known))
    return found


def test_pieces_with_checkpoints_are_verified_in_their_order(log: Log, verify: Verify) -> None:
    report = verify(*pieces_of(log))
    assert report.is_verified, messages(report)
    assert (report.facts["entries"], report.facts["size"]) == (700, 700)


def test_a_piece_that_is_dropped_reordered_or_shown_again_is_found(log: Log, verify: Verify, tmp_path: Path) -> None:
    first, second, third = pieces_of(log)

    def findings(*pieces: list[Document]) -> dict[str, int]:
        return kinds(verify(*pieces, trust=Trust(State(None))))

    assert "begins with entry 650 instead of 600" in messages(verify(first, third))
    assert findings(first, third, second) == {"malformed": 1}
    assert findings(first, second, second) == {"malformed": 1}
    again = [*second[:-1], first[-1]]  # the checkpoints of the piece before
    assert findings(first, again) == {"disagreement": 1, "root": 1}
    unlinked = [*third[:-1], {**third[-1], "deployment": {**third[-1]["deployment"]}}]
    del unlinked[-1]["deployment"]["consistency"]
    assert findings(first, second, unlinked) == {"unlinked": 1}
    assert findings(first, second[:-1], third) == {"unlinked": 1}, "the checkpoints of a piece were dropped"


def test_a_deployment_log_that_does_not_continue_that_of_the_piece_before_is_found(log: Log, verify: Verify) -> None:
    first = log.documents()
    kept, log.deployment[:] = list(log.deployment), [b"\1" + bytes(48)]
    forked = log.append(50).documents(600, deployment=1)
    log.deployment[:] = kept
    assert kinds(verify(first, forked, trust=Trust(State(None)))) == {"rewritten": 1}
    log.deployment.clear()
    assert kinds(verify(first, log.documents(600), trust=Trust(State(None)))) == {"fork": 1, "out_of_order": 1}


def test_the_order_of_a_tenants_checkpoints_in_the_deployment_log_is_checked(log: Log, verify: Verify) -> None:
    for _ in range(3):
        log.documents()  # other checkpoints
    first = log.documents()
    log.deployment.clear()
    report = verify(first, log.append(1).documents(600), trust=Trust(State(None)))
    assert kinds(report) == {"out_of_order": 1, "rolled_back": 1}
    assert "The deployment log has the checkpoint of size 601 at leaf 0, and that of size 600 before it at leaf 3" in (
        messages(report)
    )


def test_the_checkpoint_that_ends_a_piece_is_that_of_its_entries(log: Log, verify: Verify) -> None:
    first, second, _ = pieces_of(log)
    rewrite(log, 3)
    forged = log.documents(size=600)
    report = verify([*first[:-1], forged[-1]], second, trust=Trust(State(None)))
    assert report.findings.has("root")
    assert "which ends a piece, is not that of its 600 entries" in messages(report)


def test_a_seen_checkpoint_of_the_deployment_log_is_compared_by_a_proof(log: Log, verify: Verify) -> None:
    assert verify(log.documents()).is_verified
    report = verify(log.append(5).documents(deployment=1))
    assert report.is_verified, messages(report)
    [compared] = [one["seen_checkpoints"] for origin, one in report.facts["logs"].items() if origin != log.origin]
    assert compared == {"compared": 1, "not_compared": 0}
    log.deployment[0] = b"\1" + bytes(48)
    assert kinds(verify(log.append(5).documents(deployment=1))) == {"rewritten": 1}


def test_many_findings_are_counted_and_the_first_are_listed(log: Log, verify: Verify) -> None:
    documents = log.documents()
    for each in documents:
        if "sequence" in each:
            edit_part(each, "actor", flip(3))
    report = verify(documents)
    assert kinds(report) == {"changed": 600}
    assert len(report.findings.listed) == LIMIT
    assert "... and 500 more" in report.as_text()
    assert "NOT VERIFIED: 600 findings (changed 600)" in report.as_text()


def test_all_kinds_of_changes_at_once_are_all_named(log: Log, verify: Verify) -> None:
    documents = log.documents()
    edit_part(documents[line_of(documents, 10)], "actor", flip(3))
    edit_part(documents[line_of(documents, 11)], "facts", flip(3), "salt")
    del documents[line_of(documents, 12)]["parts"]["changes"]
    del documents[line_of(documents, 100)]
    leaf_flip(documents[line_of(documents, 400)], -1)
    report = verify(documents)
    assert kinds(report) == {"changed": 3, "missing_part": 1, "missing": 1, "leaf": 1, "root": 1}


def test_a_part_with_members_of_another_one_is_found(log: Log, verify: Verify) -> None:
    """The members of all parts together are the entry that is shown: `action` in `actor` would replace it."""
    entry = log.entries[3]
    entry.parts["actor"] = log.part({"actor_name": "x", "actor_type": "user", "action": "users.user.deleted"})
    entry.seal()
    assert places(verify(log.documents()), "disagreement") == [(3, "actor")]


@pytest.mark.parametrize("raw", [b"[]", b"{", b"", b'{"data":1,"data":2}', b'{"data":{"a":1,"a":2}}', b'{"data":NaN}'])
def test_a_part_that_two_readers_could_read_differently_is_found(log: Log, verify: Verify, raw: bytes) -> None:
    entry: Entry = log.entries[3]
    entry.parts["changes"] = log.part(raw)
    entry.seal()
    assert places(verify(log.documents()), "malformed") == [(3, "changes")]
