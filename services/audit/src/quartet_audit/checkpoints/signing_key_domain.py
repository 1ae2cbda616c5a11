"""Signing keys of the logs: which of them sign at a moment, and what a rotation changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from quartet_audit.checkpoints.checkpoint_domain import Signers
from quartet_audit.note_domain import ED25519, ML_DSA_44, VerifierKey

OVERLAP = timedelta(days=7)
"""For how long a replaced key signs together with its successor, so that verifiers can learn the new one."""

PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey


@dataclass(frozen=True)
class KeyPeriod:
    """A signing key and when it signs; `until` is None while no other replaces it. `type` is that of signed-note."""

    id: str
    type: int
    public: bytes
    signs_from: datetime
    until: datetime | None = None

    def signs_at(self, now: datetime) -> bool:
        """Whether it signs `now`."""
        return self.signs_from <= now and (self.until is None or now < self.until)

    def of(self, origin: str) -> VerifierKey:
        """The key by which the log `origin` is verified."""
        return VerifierKey(origin, self.type, self.public)


def generate(type_: int) -> PrivateKey:
    """A new private key of a signature type."""
    return Ed25519PrivateKey.generate() if type_ == ED25519 else MLDSA44PrivateKey.generate()


def load(type_: int, secret: bytes) -> PrivateKey:
    """The private key of which `secret` is the seed of 32 bytes (RFC 8032, FIPS 204)."""
    if type_ == ED25519:
        return Ed25519PrivateKey.from_private_bytes(secret)
    return MLDSA44PrivateKey.from_seed_bytes(secret)


def replaced(keys: Sequence[KeyPeriod], now: datetime, *, at_once: bool) -> list[KeyPeriod]:
    """Those of `keys` that a rotation changes, with the end of their periods.

    The keys that signed alone go on for OVERLAP, or end `at_once`; those that were replaced before end now. So no more
    than two keys of a type sign.
    """
    signing = [key for key in keys if key.signs_at(now)]
    return [replace(key, until=now + OVERLAP if key.until is None and not at_once else now) for key in signing]


def signers(keys: Sequence[tuple[KeyPeriod, PrivateKey]], now: datetime) -> Signers:
    """Those of `keys` that sign `now`, the oldest first."""
    private = [key for period, key in sorted(keys, key=lambda one: one[0].signs_from) if period.signs_at(now)]
    return Signers(
        [key for key in private if isinstance(key, Ed25519PrivateKey)],
        [key for key in private if isinstance(key, MLDSA44PrivateKey)],
    )


TYPES = (ED25519, ML_DSA_44)
