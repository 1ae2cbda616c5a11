"""Sealing: encrypts the private keys that a service stores, by its master key (JWE, RFC 7516: `dir`, A256GCM).

By the AES-GCM of cryptography: joserfc, which knows all algorithms of JWE, would cost each worker 3 MB.
"""

import base64
import binascii
import os

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from quartet_common.config.master_key import decode_master_key

ENVELOPE = {"alg": "dir", "enc": "A256GCM"}
NONCE_BYTES, TAG_BYTES = 12, 16
"""RFC 7518 section 5.3."""


class WrongMasterKeyError(Exception):
    """A signing key that is in the database cannot be decrypted."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"signing key {key_id} cannot be decrypted: QUARTET_MASTER_KEY has changed since the key was created"
        )


class Sealer:
    """Encrypts and decrypts private keys by the master key, a base64url text of 32 bytes."""

    def __init__(self, master_key: str) -> None:
        self._cipher = AESGCM(decode_master_key(master_key))

    def seal(self, secret: bytes) -> str:
        """`secret`, encrypted: a JWE in compact serialization (RFC 7516 section 7.1), without an encrypted key."""
        header, nonce = _encode(orjson.dumps(ENVELOPE)), os.urandom(NONCE_BYTES)
        encrypted = self._cipher.encrypt(nonce, secret, header.encode())
        content, tag = encrypted[:-TAG_BYTES], encrypted[-TAG_BYTES:]
        return f"{header}..{_encode(nonce)}.{_encode(content)}.{_encode(tag)}"

    def open(self, key_id: str, sealed: str) -> bytes:
        """The secret of the key `key_id` that was stored as `sealed`. Raises WrongMasterKeyError."""
        try:
            header, key, *others = sealed.split(".")
            nonce, content, tag = map(_decode, others)
            if key or len(nonce) != NONCE_BYTES or len(tag) != TAG_BYTES or orjson.loads(_decode(header)) != ENVELOPE:
                raise ValueError("not a JWE of this module")
            return self._cipher.decrypt(nonce, content + tag, header.encode())
        except (InvalidTag, ValueError) as error:
            raise WrongMasterKeyError(key_id) from error


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """The bytes of base64url without padding. Raises ValueError."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
