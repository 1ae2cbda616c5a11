"""Tokens for tests: signed with a key of the test's own, verified by the service's real verifier."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from quartet_common.auth.token_verifier import ALGORITHM, AUDIENCE, TOKEN_TYPE

KEY_ID = "test"


@dataclass
class TokenFactory:
    """Makes access tokens of `issuer`; `find_key` is the key finder to give to a container."""

    issuer: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))

    async def find_key(self, key_id: str) -> ECKey | None:
        """The test's key under its one id."""
        return self.key if key_id == KEY_ID else None

    def token(self, tenant: str, scopes: Iterable[str], actor: str = "tester", **claims: Any) -> str:
        """A token for `tenant` with `scopes`; `claims` override or add (None removes)."""
        now = int(time.time())
        content = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": actor,
            "client_id": actor,
            "tenant": tenant,
            "scope": " ".join(scopes),
            "iat": now,
            "exp": now + 600,
            "jti": f"test-{now}",
            **claims,
        }
        kept = {name: value for name, value in content.items() if value is not None}
        return jwt.encode({"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": KEY_ID}, kept, self.key)

    def headers(self, tenant: str, scopes: Iterable[str], actor: str = "tester", **claims: Any) -> dict[str, str]:
        """The Authorization header with such a token."""
        return {"Authorization": f"Bearer {self.token(tenant, scopes, actor, **claims)}"}
