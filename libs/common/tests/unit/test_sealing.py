"""Sealing: what a service encrypts by its master key, only the same master key decrypts."""

import base64

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from quartet_common.auth.sealing import Sealer, WrongMasterKeyError
from quartet_common.config.master_key import decode_master_key

FIRST, SECOND = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_a_secret_is_opened_by_the_same_master_key_with_or_without_padding() -> None:
    sealed = Sealer(FIRST).seal(b"secret")
    assert Sealer(FIRST.rstrip("=")).open("k1", sealed) == b"secret"
    assert "secret" not in sealed
    assert Sealer(FIRST).seal(b"secret") != sealed


def test_what_is_sealed_is_a_jwe_that_a_library_reads_and_writes() -> None:
    key = OctKey.import_key(decode_master_key(FIRST))
    assert jwe.decrypt_compact(Sealer(FIRST).seal(b"secret"), key).plaintext == b"secret"
    assert Sealer(FIRST).open("k1", jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, b"other", key)) == b"other"


def test_another_master_key_or_another_text_is_refused_by_the_id_of_the_key() -> None:
    sealed = Sealer(FIRST).seal(b"secret")
    changed = sealed[:-2] + ("AA" if not sealed.endswith("AA") else "BB")
    header, rest = sealed.split(".", 1)
    other = base64.urlsafe_b64encode(b'{"alg":"A256KW","enc":"A256GCM"}').decode().rstrip("=")
    wrong = (
        changed,
        "none",
        "",
        f"{header}.{rest}.",
        f"{other}.{rest}",
        f"{header}.A.{rest}",
        f"?{sealed}",
        f"é{sealed}",
    )
    for master_key, text in ((SECOND, sealed), *((FIRST, one) for one in wrong)):
        with pytest.raises(WrongMasterKeyError, match="signing key k1 cannot be decrypted"):
            Sealer(master_key).open("k1", text)


@pytest.mark.parametrize("text", ["", "AAAA", "?" * 43, base64.urlsafe_b64encode(bytes(33)).decode()])
def test_a_master_key_has_32_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="master key must be"):
        decode_master_key(text)
