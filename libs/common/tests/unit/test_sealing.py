"""Sealing: what a service encrypts by its master key, only the same master key decrypts."""

import base64

import pytest

from quartet_common.auth.sealing import Sealer, WrongMasterKeyError
from quartet_common.config.master_key import decode_master_key

FIRST, SECOND = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_a_secret_is_opened_by_the_same_master_key_with_or_without_padding() -> None:
    sealed = Sealer(FIRST).seal(b"secret")
    assert Sealer(FIRST.rstrip("=")).open("k1", sealed) == b"secret"
    assert "secret" not in sealed
    assert Sealer(FIRST).seal(b"secret") != sealed


def test_another_master_key_or_another_text_is_refused_by_the_id_of_the_key() -> None:
    sealed = Sealer(FIRST).seal(b"secret")
    changed = sealed[:-2] + ("AA" if not sealed.endswith("AA") else "BB")
    for master_key, text in ((SECOND, sealed), (FIRST, changed), (FIRST, "none")):
        with pytest.raises(WrongMasterKeyError, match="signing key k1 cannot be decrypted"):
            Sealer(master_key).open("k1", text)


@pytest.mark.parametrize("text", ["", "AAAA", "?" * 43, base64.urlsafe_b64encode(bytes(33)).decode()])
def test_a_master_key_has_32_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="master key must be"):
        decode_master_key(text)
