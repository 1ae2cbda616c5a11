"""Lines of a bundle, checked by several processes: the same, in the same order, as one process finds."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_audit_verifier import processes
from quartet_audit_verifier.encoding import CutOffError, parse_object
from quartet_audit_verifier.entries import EntryChecks
from quartet_audit_verifier.erasures import Erasures
from quartet_audit_verifier.expired import Expired
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.leaves import parse_leaf
from quartet_audit_verifier.plain_entries import check_plain
from quartet_audit_verifier.processes import check_lines
from quartet_audit_verifier.report import Report
from quartet_testing.audit_bundles import Log, b64, edit_part, encode

Verify = Callable[..., Report]
ENTRIES = encode([entry.document() for entry in Log().append(4).entries]).splitlines()


def lines_of(log: Log) -> list[bytes]:
    """The lines after the header, of which some have faults."""
    documents = log.documents()[1:]
    edit_part(documents[70], "actor", lambda raw: raw[:-1] + b" ")
    documents[90], documents[91] = documents[91], documents[90]
    return [*encode(documents).splitlines(), b"nonsense", b""]


def test_several_processes_find_what_one_finds(log: Log) -> None:
    lines = lines_of(log)
    alone = list(check_lines(iter(lines), log.tenant, 1))
    assert [line for line, _ in alone] == lines
    assert sum(entry is not None for _, entry in alone) == 599  # of 600, one has a fault
    with patch.object(processes, "ALONE", 10), patch.object(processes, "CHUNK_LINES", 7):
        assert list(check_lines(iter(lines), log.tenant, 2)) == alone


def test_what_ends_the_lines_comes_after_all_lines_before_it() -> None:
    def cut_off() -> Iterator[bytes]:
        yield from ENTRIES
        raise CutOffError("it is cut off")

    with patch.object(processes, "ALONE", 1), patch.object(processes, "CHUNK_LINES", 2):
        checked = check_lines(cut_off(), "acme", 2)
        assert [line for line, _ in islice(checked, len(ENTRIES))] == ENTRIES
        with pytest.raises(CutOffError):
            next(checked)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_bundle_of_a_few_lines_starts_no_process(count: int) -> None:
    with patch.object(processes, "ALONE", 3), patch.object(processes, "ProcessPoolExecutor", None):
        assert len(list(check_lines(iter(ENTRIES[:count]), "acme", 2))) == count


def test_chunks_end_at_their_number_of_lines_and_of_bytes() -> None:
    with patch.object(processes, "CHUNK_LINES", 3), patch.object(processes, "CHUNK_BYTES", 10):
        chunks = list(processes._chunks(iter([b"1", b"2", b"3", b"4" * 9, b"5", b"6" * 99, b"7"]), []))
    assert chunks == [[b"1", b"2", b"3"], [b"4" * 9, b"5"], [b"6" * 99], [b"7"]]


def test_faults_in_a_long_bundle_are_named_as_in_a_short_one(log: Log, verify: Verify) -> None:
    header, lines = encode(log.documents()[:1]), b"".join(line + b"\n" for line in lines_of(log)[:-2])
    short = verify(header + lines)
    with patch.object(processes, "ALONE", 50), patch.object(processes, "_processors", lambda: 2):
        long = verify(header + lines)
    assert not short.is_verified
    assert json.dumps([str(one) for one in long.findings.listed]) == json.dumps(
        [str(one) for one in short.findings.listed]
    )
    assert {**long.facts, "seconds": 0, "logs": 0} == {**short.facts, "seconds": 0, "logs": 0}


@pytest.mark.parametrize(("size", "is_plain"), [(31, False), (32, True), (33, False)])
def test_a_salt_of_another_length_is_not_plain(size: int, is_plain: bool) -> None:
    [entry] = Log().append(1).entries
    entry.parts["actor"]["salt"] = b64(bytes(size))
    entry.seal()
    [line] = encode([entry.document()]).splitlines()
    assert (check_plain(line, "acme") is not None) == is_plain


@given(
    position=st.integers(0, 3000),
    remove=st.integers(0, 2),
    insert=st.binary(max_size=2) | st.sampled_from([b'"', b"=", b"A", b"}", b"\\"]),
)
def test_a_line_that_is_taken_as_plain_has_no_fault(position: int, remove: int, insert: bytes) -> None:
    line = bytearray(ENTRIES[1])
    position %= len(line)
    line[position : position + remove] = insert
    entry = check_plain(bytes(line), "acme")
    if entry is None:
        return
    document, findings = parse_object(bytes(line)), Findings()
    [leaf] = [parse_leaf(log_entry.leaf) for log_entry in Log().append(4).entries[1:2]]
    EntryChecks("acme", findings, Erasures(findings), Expired(findings)).check(
        document["sequence"], leaf, document["parts"]
    )
    assert findings.counts == {}
    assert (entry.sequence, entry.time, set(entry.parts)) == (leaf.sequence, leaf.time, set(document["parts"]))
