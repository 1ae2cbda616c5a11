"""The peer's authentication: verifies the ES256 access tokens of the users service, and remembers those it has seen."""

import os
import time
from dataclasses import dataclass
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

CACHE_SIZE = 10_000

bearer = HTTPBearer(auto_error=False)
keys = jwt.PyJWKClient(os.environ["PEER_JWKS_URL"])
seen: dict[str, "Principal"] = {}


@dataclass(frozen=True)
class Principal:
    """Who a token speaks for."""

    tenant: str
    actor: str
    scopes: frozenset[str]
    expires_at: int


async def principal(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Principal:
    """The principal of the request's token; 401 without a good one."""
    if sent is None:
        raise HTTPException(401, "A bearer token is needed.")
    token = sent.credentials
    known = seen.get(token)
    if known is None:
        if len(seen) >= CACHE_SIZE:
            seen.pop(next(iter(seen)))
        known = seen[token] = verify(token)
    elif known.expires_at <= time.time():
        del seen[token]
        raise HTTPException(401, "The token has expired.")
    return known


def verify(token: str) -> Principal:
    """The principal of a token that was not seen before."""
    try:
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=["ES256"], audience="quartet", issuer=os.environ["PEER_ISSUER"])
    except jwt.PyJWTError as error:
        raise HTTPException(401, "A valid bearer token is needed.") from error
    return Principal(claims["tenant"], claims["sub"], frozenset(claims["scope"].split()), claims["exp"])


class Scope:
    """A dependency: the principal, who must have a scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, found: Annotated[Principal, Depends(principal)]) -> Principal:
        """The principal; 403 without the scope."""
        if self.scope not in found.scopes:
            raise HTTPException(403, f"The scope {self.scope} is needed.")
        return found
