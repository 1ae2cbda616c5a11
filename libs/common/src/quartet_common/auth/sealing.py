"""Sealing: encrypts the private keys that a service stores, by its master key (JWE, RFC 7516: `dir`, A256GCM)."""

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from quartet_common.config.master_key import decode_master_key

ENVELOPE = {"alg": "dir", "enc": "A256GCM"}


class WrongMasterKeyError(Exception):
    """A signing key that is in the database cannot be decrypted."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"signing key {key_id} cannot be decrypted: QUARTET_MASTER_KEY has changed since the key was created"
        )


class Sealer:
    """Encrypts and decrypts private keys by the master key, a base64url text of 32 bytes."""

    def __init__(self, master_key: str) -> None:
        self._master_key = OctKey.import_key(decode_master_key(master_key))

    def seal(self, secret: bytes) -> str:
        """`secret`, encrypted."""
        return jwe.encrypt_compact(ENVELOPE, secret, self._master_key)

    def open(self, key_id: str, sealed: str) -> bytes:
        """The secret of the key `key_id` that was stored as `sealed`. Raises WrongMasterKeyError."""
        try:
            return jwe.decrypt_compact(sealed, self._master_key).plaintext or b""
        except (JoseError, ValueError) as error:
            raise WrongMasterKeyError(key_id) from error
