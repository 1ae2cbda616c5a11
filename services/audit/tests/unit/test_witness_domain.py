"""Requests to witnesses and their answers: the examples of C2SP tlog-witness."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from quartet_audit.config import Witness
from quartet_audit.note_domain import MalformedNoteError, NoteSignature, SignedNote, VerifierKey, decode_base64
from quartet_audit.witnesses.witness_domain import (
    add_checkpoint_body,
    read_cosignatures,
    read_known_size,
    with_cosignatures,
)

NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
PROOF = [
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=",
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=",
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=",
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=",
]


def cosign(key: Ed25519PrivateKey, name: str, timestamp: int) -> NoteSignature:
    text = SignedNote.decode(NOTE).text
    signature = key.sign(f"cosignature/v1\ntime {timestamp}\n{text}".encode())
    return NoteSignature(name, verifier(key, name).id, timestamp.to_bytes(8, "big") + signature)


def verifier(key: Ed25519PrivateKey, name: str = "w.example") -> VerifierKey:
    return VerifierKey(name, 4, key.public_key().public_bytes_raw())


def test_a_request_has_the_form_of_the_example() -> None:
    body = add_checkpoint_body(20_852_014, [decode_base64(one) for one in PROOF], NOTE)
    assert body.decode() == "old 20852014\n" + "".join(f"{one}\n" for one in PROOF) + "\n" + NOTE
    assert add_checkpoint_body(0, [], NOTE).decode() == "old 0\n\n" + NOTE


@pytest.mark.parametrize(
    ("body", "size"), [(b"0\n", 0), (b"97\n", 97), (b"97", None), (b"097\n", None), (b"-1\n", None), (b"\xff\n", None)]
)
def test_the_size_of_a_conflict_is_a_number_on_a_line(body: bytes, size: int | None) -> None:
    assert read_known_size(body) == size


def test_only_valid_cosignatures_of_the_known_key_count() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    good, foreign = cosign(key, "w.example", 1_700_000_000), cosign(other, "w.example", 1_700_000_000)
    assert read_cosignatures((foreign.line + good.line).encode(), NOTE, verifier(key)) == [good]
    for lines in (
        foreign.line,
        cosign(key, "w.example", 0).line,
        good._replace(signature=good.signature[:-1] + bytes([good.signature[-1] ^ 1])).line,
        good.line.removesuffix("\n") + "x",
        "",
        "no signature\n",
    ):
        with pytest.raises(MalformedNoteError):
            read_cosignatures(lines.encode(), NOTE, verifier(key))
    with pytest.raises(MalformedNoteError):
        read_cosignatures(b"\xff", NOTE, verifier(key))


def test_a_newer_cosignature_of_a_key_replaces_the_older_one() -> None:
    key = Ed25519PrivateKey.generate()
    first, second = cosign(key, "w.example", 1), cosign(key, "w.example", 2)
    note = with_cosignatures(with_cosignatures(NOTE, [first]), [second])
    assert SignedNote.decode(note).signatures == (*SignedNote.decode(NOTE).signatures, second)


@pytest.mark.parametrize(
    ("url", "type_"), [("ftp://w.example", 4), ("https://w.example/?q", 4), ("https://w.example", 1)]
)
def test_a_witness_has_an_address_and_a_key_that_cosigns(url: str, type_: int) -> None:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    vkey = VerifierKey("w.example", 4, key).encode()
    assert Witness(url="https://w.example/prefix", vkey=vkey).vkey == vkey
    with pytest.raises(ValidationError):
        Witness(url=url, vkey=VerifierKey("w.example", type_, key).encode())
    with pytest.raises(ValidationError):
        Witness(url="https://w.example", vkey="no vkey")
