"""The token verifier: verifies RFC 9068 access tokens offline, looks up opaque ones, and caches principals."""

import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, TypeGuard

from cachetools import FIFOCache
from joserfc.jwk import ECKey

from quartet_common.auth.jwt_parsing import MALFORMED, header_of, payload_of
from quartet_common.auth.opaque_tokens import SCIM_TOKEN, tenant_of
from quartet_common.auth.principal import ANY_TENANT, Principal, actor_type_of
from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.core.cache_counts import CacheCounts
from quartet_common.core.caller import MAX_ACTOR_NAME, USER, cut
from quartet_common.core.errors import UnauthorizedError

ALGORITHM = "ES256"
AUDIENCE = "quartet"
TOKEN_TYPE = "at+jwt"  # noqa: S105  # the `typ` of RFC 9068 section 2.1
MAX_TOKEN_LENGTH = 8192
CACHE_SIZE = 10_000
USER_NAME, CLIENT_NAME = "preferred_username", "client_name"
"""The claims with the name of a person (OpenID Connect Core section 5.1) and of a client (RFC 7591 section 2)."""
LEEWAY = 5
"""Tolerated difference between the clocks of two machines, in seconds."""
MAX_LIFETIME = 3600
"""Maximum lifetime of a JWT in seconds: a longer one is not ours, and would outlive its revocation."""

KeyFinder = Callable[[str], Awaitable[ECKey | None]]
"""Finds the public key of a key id; None if no such key is published."""

OpaqueFinder = Callable[[str], Awaitable[Principal | None]]
"""Finds the principal of an opaque token; None for an unknown one. `expires_at` may be sooner than the token's end: the
finder is then called again.
"""

RevocationCheck = Callable[[Principal], str | None]
"""The reason code why a token is not valid any more; None if it is."""


class TokenVerifier:
    """Verifies tokens with the keys of the users service. A verified token is cached until it expires; its revocation
    is checked at each use.
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
        counts: CacheCounts | None = None,
    ) -> None:
        self._counts = counts or CacheCounts("verified tokens")
        self._issuer = issuer
        self._find_key = find_key
        self._now = now
        self._audiences = audiences
        self._find_opaque = find_opaque
        self._revoked = revoked
        self._seen: FIFOCache[bytes, Principal] = FIFOCache(CACHE_SIZE)
        """Principals by the token's SHA-256: of fixed size, and no token to steal."""

    def has_cached(self, token: str) -> bool:
        """Whether `token` is in the cache, so that verification costs nothing."""
        return token.isascii() and _digest(token) in self._seen

    async def looks_like_ours(self, token: str) -> bool:
        """Whether `token` looks like ours, without verification: a JWT with the id of a known key, or an opaque token
        with a correct checksum. Raises UnavailableError (503) as `verify` does.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            return False
        if token.startswith(SCIM_TOKEN):
            return tenant_of(SCIM_TOKEN, token) is not None
        try:
            await self._key_of(token)
        except UnauthorizedError:
            return False
        return True

    async def verify(self, token: str) -> Principal:
        """The principal of `token`.

        Raises UnauthorizedError with a reason (`errors.TOKEN_ERRORS` has the texts for clients), and UnavailableError
        (503) from the key finder, the opaque finder and the check for revocation.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise UnauthorizedError("too_long")
        if not token.isascii():
            raise UnauthorizedError(MALFORMED)
        digest = _digest(token)
        principal = self._seen.get(digest)
        if principal is not None and principal.expires_at + LEEWAY <= self._now():
            del self._seen[digest]
            principal = None
        self._counts.count(is_hit=principal is not None)
        if principal is None:
            seen = self._seen  # if `forget` runs meanwhile, the result goes into the discarded cache
            principal = seen[digest] = await self._read(token)
        reason = self._revoked(principal)
        if reason is not None:  # it stays cached: refusing it again costs as little as accepting it
            raise UnauthorizedError(reason)
        return principal

    def forget(self) -> None:
        """Empty the cache: a key was withdrawn."""
        self._seen = FIFOCache(CACHE_SIZE)

    async def _read(self, token: str) -> Principal:
        if not token.startswith(SCIM_TOKEN):
            return self._principal(await self._claims(token))
        if tenant_of(SCIM_TOKEN, token) is None:
            raise UnauthorizedError(MALFORMED)
        found = await self._find_opaque(token) if self._find_opaque is not None else None
        if found is None:
            raise UnauthorizedError("unknown_token")
        return found

    async def _claims(self, token: str) -> dict[str, Any]:
        return payload_of(token, await self._key_of(token), ALGORITHM)

    async def _key_of(self, token: str) -> ECKey:
        header = header_of(token)
        if header.get("alg") != ALGORITHM or str(header.get("typ", "")).lower() != TOKEN_TYPE:
            raise UnauthorizedError("wrong_algorithm_or_type")
        if "crit" in header:
            raise UnauthorizedError("unknown_extension")  # RFC 7515 section 4.1.11: no extension is supported
        key_id = header.get("kid")
        key = await self._find_key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise UnauthorizedError("unknown_key")
        return key

    def _principal(self, claims: dict[str, Any]) -> Principal:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._issuer:
            raise UnauthorizedError("wrong_issuer")
        if not all(isinstance(one, str) for one in audiences) or self._audiences.isdisjoint(audiences):
            raise UnauthorizedError("wrong_audience")
        return _read_principal(claims, *_times(claims, self._now()))


def _digest(token: str) -> bytes:
    return sha256(token.encode(), usedforsecurity=False).digest()


def _times(claims: dict[str, Any], now: float) -> tuple[float, int]:
    """The times of issue and expiry. Raises UnauthorizedError unless the token is valid `now`."""
    issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if not _is_number(issued) or not _is_number(not_before) or not _is_number(expires) or isinstance(expires, float):
        raise UnauthorizedError("missing_claims")
    if expires + LEEWAY <= now:
        raise UnauthorizedError("expired")
    if max(issued, not_before) > now + LEEWAY:
        raise UnauthorizedError("not_yet_valid")
    if issued < 0 or expires > issued + MAX_LIFETIME:
        raise UnauthorizedError("lives_too_long")
    return float(issued), expires


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _read_principal(claims: dict[str, Any], issued: float, expires: int) -> Principal:
    tenant, actor, client_id, token_id = (claims.get(name) for name in ("tenant", "sub", "client_id", "jti"))
    scope, session = claims.get("scope"), claims.get("sid")
    if not (_is_name(tenant) and _is_name(actor) and _is_name(client_id) and _is_name(token_id)):
        raise UnauthorizedError("missing_claims")
    if not isinstance(scope, str) or not (session is None or _is_name(session)):
        raise UnauthorizedError("missing_claims")
    scopes = frozenset(scope.split())
    if tenant == ANY_TENANT and SERVICE_SCOPE not in scopes:
        raise UnauthorizedError("missing_claims")
    actor_type = actor_type_of(actor, client_id, scopes)
    name = claims.get(USER_NAME if actor_type == USER else CLIENT_NAME)
    shown = cut(name, MAX_ACTOR_NAME) if isinstance(name, str) else None
    return Principal(tenant, actor, client_id, scopes, expires, token_id, issued, session, shown, actor_type)
