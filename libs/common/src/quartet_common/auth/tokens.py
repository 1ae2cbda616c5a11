"""Tokens: verifies RFC 9068 access tokens offline, asks what opaque ones stand for, and remembers what it has seen."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from quartet_common.auth.opaque import SCIM_TOKEN, tenant_of
from quartet_common.auth.principal import ANY_TENANT, SERVICE_SCOPE, Principal
from quartet_common.errors import UnauthorizedError

ALGORITHM = "ES256"
AUDIENCE = "quartet"
TOKEN_TYPE = "at+jwt"  # noqa: S105  # nosec B105  # the `typ` of RFC 9068 section 2.1
MAX_TOKEN_LENGTH = 8192
CACHE_SIZE = 10_000
LEEWAY = 5
"""Seconds by which the clocks of two machines may differ."""

KeyFinder = Callable[[str], Awaitable[ECKey | None]]
"""Finds the public key of a key id; None when no such key is published."""

OpaqueFinder = Callable[[str], Awaitable[Principal | None]]
"""Finds what an opaque token stands for; None when nobody has it. Its `expires_at` may be sooner than the token's own
end: the finder is then asked again.
"""

RevocationCheck = Callable[[Principal], str | None]
"""Says why a token is not valid any more, as a reason code; None for one that is."""


class TokenVerifier:
    """Verifies tokens with the keys of the users service. What was verified once is remembered until it expires;
    whether it was revoked meanwhile is asked each time.
    """

    def __init__(
        self,
        issuer: str,
        find_key: KeyFinder,
        now: Callable[[], float] = time.time,
        *,
        audiences: frozenset[str] = frozenset({AUDIENCE}),
        find_opaque: OpaqueFinder | None = None,
        revoked: RevocationCheck = lambda _: None,
    ) -> None:
        self._issuer = issuer
        self._find_key = find_key
        self._now = now
        self._audiences = audiences
        self._find_opaque = find_opaque
        self._revoked = revoked
        self._seen: OrderedDict[str, Principal] = OrderedDict()

    def knows(self, token: str) -> bool:
        """Whether `token` was verified before, so that verifying it again costs nothing."""
        return token in self._seen

    async def verify(self, token: str) -> Principal:
        """The principal of `token`.

        Raises UnauthorizedError whose reason says what is wrong (never shown to the client), and whatever the key
        finder raises when keys cannot be had.
        """
        principal = self._seen.get(token)
        if principal is not None and principal.expires_at + LEEWAY <= self._now():
            del self._seen[token]
            principal = None
        if principal is None:
            principal = await self._read(token)
            self._seen[token] = principal
            if len(self._seen) > CACHE_SIZE:
                self._seen.popitem(last=False)
        reason = self._revoked(principal)
        if reason is not None:
            self._seen.pop(token, None)
            raise UnauthorizedError(reason)
        return principal

    async def _read(self, token: str) -> Principal:
        if len(token) > MAX_TOKEN_LENGTH:
            raise UnauthorizedError("too_long")
        if not token.startswith(SCIM_TOKEN):
            return self._principal(await self._claims(token))
        if tenant_of(SCIM_TOKEN, token) is None:
            raise UnauthorizedError("malformed")
        found = await self._find_opaque(token) if self._find_opaque is not None else None
        if found is None:
            raise UnauthorizedError("unknown_token")
        return found

    async def _claims(self, token: str) -> dict[str, Any]:
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
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._issuer:
            raise UnauthorizedError("wrong_issuer")
        if not any(isinstance(one, str) and one in self._audiences for one in audiences):
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
    token_id, issued, session = claims.get("jti"), claims.get("iat"), claims.get("sid")
    if not isinstance(token_id, str) or isinstance(issued, bool) or not isinstance(issued, int | float):
        raise UnauthorizedError("missing_claims")
    if session is not None and not isinstance(session, str):
        raise UnauthorizedError("missing_claims")
    return Principal(tenant, actor, client_id, scopes, expires, token_id, float(issued), session)
