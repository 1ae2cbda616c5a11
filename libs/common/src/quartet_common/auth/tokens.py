"""Tokens: verifies RFC 9068 access tokens offline and remembers those it has seen."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from quartet_common.auth.principal import ANY_TENANT, SERVICE_SCOPE, Principal
from quartet_common.errors import UnauthorizedError

ALGORITHM = "ES256"
AUDIENCE = "quartet"
TOKEN_TYPE = "at+jwt"  # noqa: S105  # the `typ` of RFC 9068 section 2.1
MAX_TOKEN_LENGTH = 8192
CACHE_SIZE = 10_000
LEEWAY = 5
"""Seconds by which the clocks of two machines may differ."""

KeyFinder = Callable[[str], Awaitable[ECKey | None]]
"""Finds the public key of a key id; None when no such key is published."""


class TokenVerifier:
    """Verifies tokens with the keys of the users service. What was verified once is remembered until it expires."""

    def __init__(self, issuer: str, find_key: KeyFinder, now: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._find_key = find_key
        self._now = now
        self._seen: OrderedDict[str, Principal] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """The principal of `token`.

        Raises UnauthorizedError whose reason says what is wrong (never shown to the client), and whatever the key
        finder raises when keys cannot be had.
        """
        principal = self._seen.get(token)
        if principal is not None:
            if principal.expires_at + LEEWAY > self._now():
                return principal
            del self._seen[token]
            raise UnauthorizedError("expired")
        principal = self._principal(await self._claims(token))
        self._seen[token] = principal
        if len(self._seen) > CACHE_SIZE:
            self._seen.popitem(last=False)
        return principal

    async def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_LENGTH:
            raise UnauthorizedError("too_long")
        header = _header(token)
        if header.get("alg") != ALGORITHM or str(header.get("typ", "")).lower() != TOKEN_TYPE:
            raise UnauthorizedError("wrong_algorithm_or_type")
        key = await self._find_key(str(header.get("kid", "")))
        if key is None:
            raise UnauthorizedError("unknown_key")
        try:
            return dict(jwt.decode(token, key, algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError, TypeError) as error:
            raise UnauthorizedError("bad_signature") from error

    def _principal(self, claims: dict[str, Any]) -> Principal:
        now = self._now()
        audience = claims.get("aud")
        if claims.get("iss") != self._issuer:
            raise UnauthorizedError("wrong_issuer")
        if audience != AUDIENCE and not (isinstance(audience, list) and AUDIENCE in audience):
            raise UnauthorizedError("wrong_audience")
        expires, not_before = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expires, int) or expires + LEEWAY <= now:
            raise UnauthorizedError("expired")
        if not isinstance(not_before, int) or not_before - LEEWAY > now:
            raise UnauthorizedError("not_yet_valid")
        return _read_principal(claims, expires)


def _header(token: str) -> dict[str, Any]:
    try:
        from joserfc.jws import extract_compact

        return dict(extract_compact(token.encode("ascii")).headers())
    except (JoseError, ValueError, TypeError, UnicodeError) as error:
        raise UnauthorizedError("malformed") from error


def _read_principal(claims: dict[str, Any], expires: int) -> Principal:
    texts = [claims.get(name) for name in ("tenant", "sub", "client_id", "scope")]
    if not all(isinstance(text, str) for text in texts):
        raise UnauthorizedError("missing_claims")
    tenant, actor, client_id, scope = (str(text) for text in texts)
    scopes = frozenset(scope.split())
    if tenant == ANY_TENANT and SERVICE_SCOPE not in scopes:
        raise UnauthorizedError("missing_claims")
    return Principal(tenant, actor, client_id, scopes, expires)
