"""Signed notes, checkpoints and their keys: the examples of the C2SP texts, and what these texts forbid."""

import base64

import pytest

from quartet_audit_verifier.encoding import FormatError
from quartet_audit_verifier.notes import Checkpoint, check_signatures, parse_checkpoint, parse_vkey
from quartet_testing.audit_bundles import Log, Signer, b64

VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
"""signed-note, Verifier keys: the example with its note below."""
NOTE_LINE = (
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
)
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
TEXT = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"
"""The example of tlog-checkpoint."""


def checkpoint(text: str, *signers: Signer) -> Checkpoint:
    return parse_checkpoint(f"{text}\n" + "".join(each.line(text) for each in signers))


def test_the_example_of_signed_note_verifies() -> None:
    key = parse_vkey(VKEY)
    note = parse_checkpoint(f"{TEXT}\n{NOTE_LINE}\n")
    message = "This is an example message.\n"
    [checked] = check_signatures(Checkpoint("", message, "", 0, b"", note.signatures), [key])
    assert checked.is_valid
    [checked] = check_signatures(Checkpoint("", message + "x", "", 0, b"", note.signatures), [key])
    assert not checked.is_valid


def test_the_example_of_tlog_checkpoint_is_read() -> None:
    signature = "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8="
    line = f"— example.com/behind-the-sofa {signature}"
    read = parse_checkpoint(f"{TEXT}\n{line}\n")
    assert (read.origin, read.size, b64(read.root)) == ("example.com/behind-the-sofa", 20852163, ROOT)
    assert [(each.name, each.key_id.hex()) for each in read.signatures] == [("example.com/behind-the-sofa", "033de0ae")]


@pytest.mark.parametrize("kind", [1, 4, 6])
def test_signatures_of_all_types_verify_and_no_changed_one_does(kind: int) -> None:
    signer = Signer("witness.example/w1", kind, bytes(range(32)))
    key = parse_vkey(signer.vkey)
    good = checkpoint(TEXT, signer)
    [checked] = check_signatures(good, [key])
    assert (checked.is_valid, checked.time) == (True, None if kind == 1 else 1_770_000_000)
    for changed in (TEXT.replace("20852163", "20852164"), TEXT.replace("sofa", "sofb"), TEXT.replace("CsU", "CsV")):
        note = f"{changed}\n{signer.line(TEXT)}"
        [checked] = check_signatures(parse_checkpoint(note), [key])
        assert not checked.is_valid
    line = signer.line(TEXT)
    for position in (-8, -20, 40):
        other = "A" if line[position] != "A" else "B"
        changed = line[: len(line) + position if position < 0 else position] + other + line[position + 1 :]
        found = check_signatures(parse_checkpoint(f"{TEXT}\n{changed}"), [key])
        assert not any(each.is_valid for each in found)


def test_signatures_of_other_keys_are_ignored() -> None:
    signer, other = Signer("a.example", 1, bytes(32)), Signer("b.example", 1, bytes(32))
    assert check_signatures(checkpoint(TEXT, other), [parse_vkey(signer.vkey)]) == []


def test_a_cosignature_of_another_name_is_not_valid_with_ml_dsa() -> None:
    """tlog-cosignature: the message has the cosigner's name, so that one key can have several."""
    mine = Signer("a.example", 6, bytes(32))
    forged = Signer("b.example", 6, bytes(32)).line(TEXT).split(" ")[2]
    raw = b64(mine.key_id + base64.b64decode(forged)[4:])
    [checked] = check_signatures(parse_checkpoint(f"{TEXT}\n— a.example {raw}\n"), [parse_vkey(mine.vkey)])
    assert not checked.is_valid


@pytest.mark.parametrize(
    ("note", "problem"),
    [
        (TEXT, "no signatures"),
        (f"{TEXT}\n", "no signatures"),
        (f"{TEXT}\n{NOTE_LINE}", "no line end"),
        (f"{TEXT}\n{NOTE_LINE}\r\n", "control characters"),
        (f"{TEXT}\n{NOTE_LINE.replace('—', '-')}\n", "not a signature line"),
        (f"{TEXT}\n— a+b AAAAAAA=\n", "not a signature line"),
        (f"{TEXT}\n— a AAAA\n", "has 3 bytes"),
        (f"{TEXT}\n— a AAAAAAB=\n", "only base64 form"),
        (f"\n1\n{ROOT}\n\n{NOTE_LINE}\n", "an empty one"),
        (f"a\n\n{ROOT}\n\n{NOTE_LINE}\n", "an empty one"),
        (f"a\n1\n\n{NOTE_LINE}\n", "fewer than three lines"),
        (f"a\n01\n{ROOT}\n\n{NOTE_LINE}\n", "has the size '01'"),
        (f"a\n-1\n{ROOT}\n\n{NOTE_LINE}\n", "has the size '-1'"),
        (f"a\n{1 << 63}\n{ROOT}\n\n{NOTE_LINE}\n", "has the size"),
        (f"a\n1\n{ROOT[:-4]}\n\n{NOTE_LINE}\n", "root hash"),
        (f"a\n1\n{ROOT[:-2]}J=\n\n{NOTE_LINE}\n", "root hash"),
        (f"\ud800\n1\n{ROOT}\n\n{NOTE_LINE}\n", "UTF-8"),
        (f"a\n1\n{ROOT}\n{'x' * 600_000}\n\n{NOTE_LINE}\n", "more than"),
    ],
)
def test_what_is_no_checkpoint_is_refused(note: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        parse_checkpoint(note)


def test_extension_lines_are_allowed_and_signed() -> None:
    signer = Log().signer
    text = f"{TEXT}more\n"
    [checked] = check_signatures(checkpoint(text, signer), [parse_vkey(signer.vkey)])
    assert checked.is_valid


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a+00000000",
        "a+00000000+",
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("foo", "bar"),
        VKEY.replace("foo", "f o"),
        VKEY.replace("+AekyeR", "+AukyeR"),
        VKEY[:-4],
        VKEY + "\n",
    ],
)
def test_what_is_no_vkey_is_refused(vkey: str) -> None:
    with pytest.raises(FormatError):
        parse_vkey(vkey)


def test_a_vkey_is_written_as_it_was_read() -> None:
    for kind in (1, 4, 6):
        text = Signer("witness.example/w1", kind, bytes(32)).vkey
        assert parse_vkey(text).text == text
