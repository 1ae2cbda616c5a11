"""Files that are cut off, damaged or no bundles: never a traceback, and never verified when a hashed byte differs."""

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet_audit_verifier import lines
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import State
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import verify_files
from quartet_testing.audit_bundles import Document, Log, encode

Verify = Callable[..., Report]
SMALL = encode(Log().append(3).documents())


def test_a_compressed_bundle_is_verified(log: Log, verify: Verify) -> None:
    assert verify(gzip.compress(encode(log.documents()))).is_verified


def test_several_compressed_members_are_one_file(verify: Verify) -> None:
    half = SMALL.index(b"\n") + 1
    assert verify(gzip.compress(SMALL[:half]) + gzip.compress(SMALL[half:])).is_verified


@pytest.mark.parametrize("cut", [1, 5, 40, 2000])
def test_a_compressed_bundle_that_is_cut_off_is_found(verify: Verify, cut: int) -> None:
    assert set(verify(gzip.compress(SMALL)[:-cut]).findings.counts) == {"truncated"}


def test_a_damaged_compressed_bundle_is_found(verify: Verify) -> None:
    raw = bytearray(gzip.compress(SMALL))
    raw[len(raw) // 2] ^= 0xFF
    assert not verify(bytes(raw)).is_verified
    assert not verify(gzip.compress(SMALL) + b"more").is_verified


def test_a_bundle_that_is_cut_off_anywhere_is_found(verify: Verify) -> None:
    assert verify(SMALL).is_verified
    for cut in (*range(0, len(SMALL), 101), len(SMALL) - 1):
        assert verify(SMALL[:cut]).findings.has("truncated"), cut


def test_a_bundle_without_its_end_is_found(verify: Verify) -> None:
    without = b"\n".join(SMALL.split(b"\n")[:-2]) + b"\n"
    report = verify(without)
    assert [each.message for each in report.findings.listed] == [
        "The bundle ends after 3 entries, without a checkpoint."
    ]


def test_lines_after_the_end_are_found(verify: Verify) -> None:
    report = verify(SMALL + SMALL.split(b"\n")[1] + b"\n")
    assert "it comes after the checkpoint" in report.as_text()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\xfe\n",
        b"not a bundle\n",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00 no gzip",
        b"[" * 200_000 + b"\n",
        b'{"format": "quartet-audit-bundle/v2"}\n',
        b'{"format": "quartet-audit-bundle/v1"}\n',
        "\ufeff".encode() + SMALL,
        json.dumps(json.loads(SMALL.split(b"\n")[0])).encode("utf-16"),
    ],
)
def test_what_is_no_bundle_is_found(verify: Verify, raw: bytes) -> None:
    report = verify(raw)
    assert not report.is_verified
    assert report.as_json()["verified"] is False
    assert report.as_text()


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": None}, {"tenant": 5}, {"origin": ["x"]}, {"from": -1}, {"from": 1}, {"from": True}, {"from": 0.0},
        {"size": "3"}, {"size": 1 << 63}, {"size": 2}, {"size": 4}, {"keys": None}, {"keys": {}}, {"keys": [1]},
        {"keys": [{"vkey": "x"}]}, {"keys": []}, {"keys": [{"vkey": 5}]}, {"deployment_keys": None},
        {"partial_tiles": "x"}, {"partial_tiles": ["x"]}, {"partial_tiles": ["AAAA"]}, {"partial_tiles": [""] * 9},
        {"tenant": "\ud800"}, {"origin": "\ud800"}, {"origin": "x/" * 50_000},
    ],
)  # fmt: skip
def test_headers_with_other_values_are_found(verify: Verify, change: Document) -> None:
    documents = [json.loads(line) for line in SMALL.splitlines()]
    documents[0].update(change)
    report = verify(b"".join(json.dumps(each).encode() + b"\n" for each in documents))
    assert not report.is_verified
    assert report.as_text()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b"{",
        b'{"sequence": 1}',
        b'{"sequence": "1", "leaf": "", "parts": {}}',
        b'{"sequence": 1e999, "leaf": "", "parts": {}}',
        b'{"sequence": ' + b"9" * 5000 + b"}",
        b'{"sequence": 1, "sequence": 1}',
        b'{"sequence": 1, "leaf": 5, "parts": []}',
        b'{"sequence": 1, "leaf": "AQ==", "parts": {}}',
        b'{"tile": 5}',
        b'{"tile": [0, 0], "hashes": "AAAA"}',
        b'{"tile": [0, -1], "hashes": ""}',
        b'{"tile": [0, true], "hashes": ""}',
        b'{"tile": [99, 0], "hashes": "' + b"AAAA" * 2730 + b'AAA="}',
        b'{"tile": [0, 5], "hashes": "' + b"AAAA" * 2730 + b'AAA="}',
        b'{"checkpoint": 5}',
        b'{"checkpoint": "x"}',
        b'{"unknown": 5}',
    ],
)
def test_lines_that_cannot_be_read_are_found_and_the_others_are_read(verify: Verify, line: bytes) -> None:
    good = SMALL.split(b"\n")
    report = verify(b"\n".join([*good[:2], line, *good[3:]]))
    assert not report.is_verified
    assert report.facts["parts"]["facts"] == 2
    assert report.as_text()


def test_an_endless_line_is_not_read_into_memory(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 4000)
    head = SMALL.split(b"\n")[0] + b"\n"
    report = verify(head + b'{"sequence": 0, "leaf": "' + b"A" * 5000 + b'"}\n')
    assert "longer than 4000 bytes" in report.as_text()


def test_foreign_text_cannot_control_a_terminal(verify: Verify) -> None:
    documents = Log("acme\x1b[2J\r").append(1).documents()
    shown = verify(documents).as_text()
    assert "\x1b" not in shown
    assert "\r" not in shown


def content(raw: bytes) -> list[Any] | None:
    """What a bundle says, without what no hash or signature covers: times of keys."""
    try:
        found = [json.loads(line) for line in raw.decode().split("\n") if line]
        for name in ("keys", "deployment_keys"):
            found[0][name] = [each["vkey"] for each in found[0][name]]
    except (ValueError, LookupError, TypeError):
        return None
    return found


def forms(raw: bytes) -> str | None:
    """The values of a bundle in one form; base64 has several for the same bytes only if padding bits are set."""
    found = content(raw)
    return None if found is None else json.dumps(found, sort_keys=True)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 3), st.binary(min_size=1, max_size=3)),
        min_size=1,
        max_size=3,
    )
)
def test_no_mutation_ends_in_a_traceback_or_is_verified(tmp_path: Path, edits: list[tuple[int, int, bytes]]) -> None:
    raw = bytearray(SMALL)
    for position, remove, insert in edits:
        raw[position : position + remove] = insert
    path = tmp_path / "bundle"
    path.write_bytes(raw)
    report = verify_files([path], Trust(State(None)))
    assert report.as_text()
    assert json.dumps(report.as_json())
    if report.is_verified:
        assert forms(bytes(raw)) == forms(SMALL)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_a_hashed_byte_can_be_changed(tmp_path: Path, position: int, bit: int) -> None:
    """Each bit of a leaf, of a part, of a salt, of the checkpoints: in the values, not in their base64."""
    documents = [json.loads(line) for line in SMALL.splitlines()]
    values = [(each, "leaf") for each in documents[1:-1]]
    values += [
        (part, name) for each in documents[1:-1] for part in each["parts"].values() for name in ("bytes", "salt")
    ]
    values += [(documents[-1]["deployment"], name) for name in ("leaf", "salt", "root_hash")]
    holder, name = values[position % len(values)]
    raw = bytearray(base64.b64decode(holder[name]))
    raw[position % len(raw)] ^= 1 << bit
    holder[name] = base64.b64encode(raw).decode()
    path = tmp_path / "bundle"
    path.write_bytes(encode(documents))
    assert not verify_files([path], Trust(State(None))).is_verified
