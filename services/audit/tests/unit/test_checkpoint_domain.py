"""Checkpoints and signed notes: the examples of the C2SP texts, and our notes read by an independent reader."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from quartet_audit.checkpoints.checkpoint_domain import (
    Checkpoint,
    Signers,
    cosigned_message,
    deployment_leaf,
    deployment_origin,
    is_signed,
    tenant_origin,
)
from quartet_audit.note_domain import (
    ED25519,
    ED25519_COSIGNATURE,
    ML_DSA_44,
    MalformedNoteError,
    NoteSignature,
    SignedNote,
    VerifierKey,
    decode_base64,
    decode_signatures,
    known_signatures,
)
from quartet_testing.tlog import verify

EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
"""signed-note, "Verifier keys", "Example"."""
SOFA = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SOFA_NOTE = (
    f"{SOFA}\n"
    "\u2014 example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
"""tlog-cosignature, the example."""
NOW = datetime(2026, 1, 31, 9, 0, 0, 900_000, tzinfo=UTC)
CHECKPOINT = Checkpoint("example.com/audit/log", 97, bytes(range(32)))


def test_the_example_of_signed_note_verifies() -> None:
    note, key = SignedNote.decode(EXAMPLE_NOTE), VerifierKey.decode(EXAMPLE_VKEY)
    [(signature, known)] = known_signatures(note.signatures, [key])
    assert note.text == "This is an example message.\n"
    assert known == key
    assert is_signed(note, signature, key)
    assert not is_signed(SignedNote("This is another message.\n", ()), signature, key)
    assert (key.encode(), note.encode()) == (EXAMPLE_VKEY, EXAMPLE_NOTE)


def test_the_example_of_tlog_cosignature_is_read() -> None:
    note = SignedNote.decode(SOFA_NOTE)
    root = decode_base64("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    assert Checkpoint.decode(note.text) == Checkpoint("example.com/behind-the-sofa", 20_852_163, root)
    assert Checkpoint.decode(note.text).text == SOFA
    assert [one.name for one in note.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert int.from_bytes(note.signatures[1].signature[:8], "big") == 1_679_315_147
    assert note.encode() == SOFA_NOTE


def test_a_second_library_verifies_both_signatures_of_the_deployment_log() -> None:
    ed25519, ml_dsa = Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate()
    note = Signers([ed25519], [ml_dsa]).sign_deployment(CHECKPOINT, NOW)
    keys = [
        VerifierKey(CHECKPOINT.origin, ED25519, ed25519.public_key().public_bytes_raw()),
        VerifierKey(CHECKPOINT.origin, ML_DSA_44, ml_dsa.public_key().public_bytes_raw()),
    ]
    for key in keys:
        head = verify(note.encode().encode(), key.encode())
        assert (head.origin, head.size, head.root) == (CHECKPOINT.origin, CHECKPOINT.size, CHECKPOINT.root)
    assert all(is_signed(note, *known) for known in known_signatures(note.signatures, keys))
    assert int.from_bytes(note.signatures[1].signature[:8], "big") == int(NOW.timestamp())


def test_a_log_of_a_tenant_has_ed25519_signatures_only_one_by_each_key() -> None:
    keys = [Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()]
    note = Signers(keys, [MLDSA44PrivateKey.generate()]).sign(CHECKPOINT)
    assert len(note.signatures) == 2
    for key in keys:
        verify(note.encode().encode(), VerifierKey(CHECKPOINT.origin, 1, key.public_key().public_bytes_raw()).encode())


def test_an_ed25519_cosignature_signs_time_and_text() -> None:
    """tlog-cosignature, "Ed25519 signed message"."""
    witness = Ed25519PrivateKey.generate()
    key = VerifierKey("witness.example/w", ED25519_COSIGNATURE, witness.public_key().public_bytes_raw())
    message = f"cosignature/v1\ntime 1679315147\n{SOFA}".encode()
    good = NoteSignature(key.name, key.id, (1_679_315_147).to_bytes(8, "big") + witness.sign(message))
    later = NoteSignature(key.name, key.id, (1_679_315_148).to_bytes(8, "big") + witness.sign(message))
    assert is_signed(SignedNote(SOFA, ()), good, key)
    assert not is_signed(SignedNote(SOFA, ()), later, key)
    assert not is_signed(SignedNote(SOFA, ()), NoteSignature(key.name, key.id, b"short"), key)


def test_the_message_of_ml_dsa_has_the_bytes_of_its_structure() -> None:
    """tlog-cosignature, "ML-DSA-44 signed message"."""
    message = cosigned_message("w.example", 1_769_850_000, CHECKPOINT)
    assert message == (
        bytes.fromhex("737562747265652f76310a00" + "09")
        + b"w.example"
        + bytes.fromhex("00000000697dc490" + "15")
        + b"example.com/audit/log"
        + bytes.fromhex("0000000000000000" + "0000000000000061")
        + bytes(range(32))
    )
    with pytest.raises(ValueError, match="255 bytes, got 256"):
        cosigned_message("w" * 256, 0, CHECKPOINT)


@pytest.mark.parametrize(
    "vkey",
    [
        "example.com/foo+530d903a",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/f o+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AQ==",
        "example.com/foo+530d903a+not base64",
    ],
)
def test_a_wrong_vkey_is_refused(vkey: str) -> None:
    with pytest.raises(MalformedNoteError):
        VerifierKey.decode(vkey)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        EXAMPLE_NOTE.removesuffix("\n"),
        EXAMPLE_NOTE.replace("example.com/foo", "example.com+foo"),
        EXAMPLE_NOTE.replace("\u2014", "-"),
        EXAMPLE_NOTE.replace("This", "\tThis"),
        EXAMPLE_NOTE.replace("aQM=", "aQN="),
        "text\n\n\u2014 name AAAAAA==\n",
    ],
)
def test_a_wrong_note_is_refused(note: str) -> None:
    with pytest.raises(MalformedNoteError):
        SignedNote.decode(note)


@pytest.mark.parametrize(
    "text",
    [
        "origin\n1\n",
        "origin\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
    ],
)
def test_a_wrong_text_of_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedNoteError):
        Checkpoint.decode(text)


def test_notes_with_too_many_signatures_are_refused() -> None:
    with pytest.raises(MalformedNoteError, match="65 signatures"):
        decode_signatures(EXAMPLE_NOTE.rpartition("\n\n")[2] * 65)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://quartet.example.com", "quartet.example.com/audit/log"),
        ("https://quartet.example.com:443/", "quartet.example.com/audit/log"),
        ("https://Quartet.example.com:8443", "quartet.example.com:8443/audit/log"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080/audit/log"),
        ("http://127.0.0.1:80", "127.0.0.1/audit/log"),
        ("http://[::1]", "[::1]/audit/log"),
    ],
)
def test_the_origin_is_the_public_host_and_path(url: str, origin: str) -> None:
    assert deployment_origin(url) == origin
    assert tenant_origin(url, "acme") == f"{origin}/acme"


def test_a_leaf_of_the_deployment_log_has_the_documented_bytes() -> None:
    leaf = deployment_leaf(7, 1_769_850_000_250_000, b"s" * 32, SOFA)
    assert (
        leaf
        == bytes.fromhex("01" + "0000000000000007" + "000649ab50921490") + sha256(b"s" * 32 + SOFA.encode()).digest()
    )
