"""Forgery: access tokens as an attacker would make them, and those that only a holder of the real key could make."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwe, jws
from joserfc.jwk import ECKey

from quartet_common.auth.token_verifier import ALGORITHM, TOKEN_TYPE

Claims = dict[str, Any]


def encoded(part: bytes | Claims) -> str:
    """A part of a compact token (RFC 7515 section 3.1)."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> Claims:
    """What a token says; nothing is verified."""
    part = token.split(".")[1]
    claims: Claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


@dataclass
class Forger:
    """`token` is one that is good; `key` is the key that has signed it, under the id `key_id`."""

    token: str
    key: ECKey
    key_id: str
    own: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    """A key that nobody trusts."""

    @property
    def claims(self) -> Claims:
        """The claims of the good token."""
        return claims_of(self.token)

    def genuine(self, header: Claims | None = None, **claims: Any) -> str:
        """Signed with the real key: what the service itself would issue if it said `claims` (None removes one)."""
        return self._signed(self.key, {"kid": self.key_id, **(header or {})}, claims)

    def forged(self, header: Claims | None = None, **claims: Any) -> str:
        """Signed with a key that nobody trusts, under the id of the real one unless `header` says otherwise."""
        return self._signed(self.own, {"kid": self.key_id, **(header or {})}, claims)

    def _signed(self, key: ECKey, header: Claims, claims: Claims) -> str:
        said = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        wanted = {"alg": ALGORITHM, "typ": TOKEN_TYPE, **header}
        head = {name: value for name, value in wanted.items() if value is not None}
        text = f"{encoded(head)}.{encoded(said)}"
        # not by jwt.encode, which refuses headers that no honest issuer would write
        signature = jws.default_registry.get_alg(ALGORITHM).sign(text.encode(), key)
        return f"{text}.{encoded(signature)}"

    def hashed(self, secret: bytes, algorithm: str = "HS256") -> str:
        """Signed with HMAC under `secret`: the public key, by who hopes that nobody looks at the algorithm."""
        text = f"{encoded({'alg': algorithm, 'typ': TOKEN_TYPE, 'kid': self.key_id})}.{encoded(self.claims)}"
        return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    def unsigned(self, algorithm: str) -> str:
        """Signed by nobody."""
        return f"{encoded({'alg': algorithm, 'typ': TOKEN_TYPE, 'kid': self.key_id})}.{encoded(self.claims)}."

    def with_signature(self, signature: bytes, **claims: Any) -> str:
        """The good token, with other claims and signature."""
        head, _, _ = self.token.split(".")
        return f"{head}.{encoded({**self.claims, **claims})}.{encoded(signature)}"

    def encrypted(self) -> str:
        """A JWE for the public key, in which the good token is wrapped."""
        head = {"alg": "ECDH-ES+A128KW", "enc": "A128CBC-HS256", "cty": "JWT"}
        return jwe.encrypt_compact(head, self.token.encode(), self.key)
