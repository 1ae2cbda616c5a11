"""Use cases of token status: introspection (RFC 7662) and revocation (RFC 7009) of tokens by clients."""

from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import asyncpg
import orjson
from joserfc.jws import extract_compact

from quartet_common.auth.opaque_tokens import CLIENT_SECRET, REFRESH_TOKEN, SCIM_TOKEN, tenant_of
from quartet_common.auth.principal import ANY_TENANT, Principal
from quartet_common.auth.revocations import revocation
from quartet_common.auth.token_verifier import AUDIENCE, MAX_TOKEN_LENGTH, TokenVerifier
from quartet_common.config.rate_limit import Limit
from quartet_common.core.caller import CLIENT, USER, Caller, RequestOrigin
from quartet_common.core.errors import LimitedError, UnauthorizedError
from quartet_common.core.identifiers import SYSTEM_TENANT, parse_id
from quartet_common.limits.windows import REFUSED, Windows
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.errors import OAuthError
from quartet_users.scim_tokens.scim_token_domain import ScimToken
from quartet_users.scim_tokens.scim_token_finder import ScimTokens
from quartet_users.scim_tokens.scim_token_usecases import revoke_scim_token
from quartet_users.sessions import session_ending, session_store
from quartet_users.sessions.session_store import TokenHashes
from quartet_users.tokens.access_tokens import SERVICES
from quartet_users.tokens.token_revocation import revoke
from quartet_users.users import user_store

BY_ONE = Limit(100, 10)
"""Access tokens that one user or client may revoke one by one: every api keeps each revocation until the token expires,
so creating and revoking tokens in a loop takes a few MB at most.
"""
BY_TENANT = Limit(1000, 10)
"""The same for all users and clients of a tenant together."""
INACTIVE: dict[str, Any] = {"active": False}
"""The response for tokens that are invalid or unknown to the client (RFC 7662 section 2.2)."""


@dataclass(frozen=True)
class Asker:
    """An authenticated client that asks about a token; it may know the tokens of `tenants` (`*` for all). A question of
    a service counts as a use of the token.
    """

    client_id: str
    tenants: frozenset[str]
    is_service: bool = False
    name: str | None = None

    def knows(self, tenant: str) -> bool:
        """Whether the client may know tokens of `tenant`."""
        return ANY_TENANT in self.tenants or tenant in self.tenants


class TokenStatus:
    """Introspects and revokes tokens of all kinds that the users service issues."""

    def __init__(self, container: AppContainer[UsersConfig], scim_tokens: ScimTokens) -> None:
        self._container = container
        self._scim_tokens = scim_tokens
        self._ended_by_one, self._ended_by_tenant = Windows(BY_ONE, monotonic), Windows(BY_TENANT, monotonic)

    async def introspect(self, asker: Asker, token: str) -> dict[str, Any]:
        """The introspection response (RFC 7662 section 2.2) with the `tenant`. Raises UnavailableError (503)."""
        if token.startswith(SCIM_TOKEN):
            return await self._introspect_scim(asker, token)
        if token.startswith(REFRESH_TOKEN):
            return await self._introspect_refresh(asker, token)
        if token.startswith(CLIENT_SECRET) or len(token) > MAX_TOKEN_LENGTH:
            return INACTIVE
        return await self._introspect_access(asker, token)

    async def revoke(self, asker: Asker, origin: RequestOrigin, token: str) -> None:
        """Revoke `token` if it was issued to the asker; no effect and no error otherwise (RFC 7009 section 2.2).

        Raises OAuthError `unsupported_token_type` for a client secret, LimitedError for too many access tokens,
        UnavailableError (503).
        """
        if token.startswith(CLIENT_SECRET):
            raise OAuthError(
                "unsupported_token_type", "A client secret cannot be revoked here. Delete it at /users/clients."
            )
        if token.startswith(SCIM_TOKEN):
            await self._revoke_scim(asker, origin, token)
        elif token.startswith(REFRESH_TOKEN):
            await self._revoke_refresh(asker, origin, token)
        else:
            await self._revoke_access(asker, origin, token)

    async def _introspect_scim(self, asker: Asker, token: str) -> dict[str, Any]:
        found = await self._scim_tokens.find(token)
        now = self._container.clock()
        if found is None or found.has_ended(now) or not asker.knows(found.tenant):
            return INACTIVE
        who = found.principal(now)
        if self._container.revocations.reason(who) is not None:
            return INACTIVE
        if asker.is_service:
            self._scim_tokens.used(found)
        end = {} if found.expires_at is None else {"exp": int(found.expires_at.timestamp())}
        return self._answer(who, AUDIENCE, iat=int(found.created_at.timestamp()), **end)

    async def _introspect_access(self, asker: Asker, token: str) -> dict[str, Any]:
        who = await self._verified(token)
        if who is None or who.expires_at <= self._container.clock().timestamp() or not asker.knows(who.tenant):
            return INACTIVE
        times = {"iat": int(who.issued_at), "exp": who.expires_at}
        name = await self._user_name(who)
        named = {} if name is None else {"username": name}
        return self._answer(who, orjson.loads(extract_compact(token.encode()).payload)["aud"], **times, **named)

    async def _introspect_refresh(self, asker: Asker, token: str) -> dict[str, Any]:
        tenant, found = await self._refresh_token(token)
        now = self._container.clock()
        if found is None or not found["is_unused"] or found["ends_at"] <= now or not asker.knows(tenant):
            return INACTIVE
        issued, end = found["issued_at"].timestamp(), int(found["ends_at"].timestamp())
        user_id, session = str(found["user_id"]), str(found["session_id"])
        who = Principal(tenant, user_id, found["client_id"], frozenset(), end, "", issued, session)
        if self._container.revocations.reason(who) is not None:
            return INACTIVE
        issuer = self._container.config.issuer
        return {
            "active": True,
            "tenant": tenant,
            "sub": user_id,
            "client_id": who.client_id,
            "iss": issuer,
            "aud": issuer,  # no scope: the scopes are read when the token is used
            "iat": int(issued),
            "exp": end,
        }

    def _answer(self, who: Principal, audience: Any, **more: Any) -> dict[str, Any]:
        return {
            "active": True,
            "tenant": who.tenant,
            "sub": who.actor,
            "client_id": who.client_id,
            "scope": " ".join(sorted(who.scopes)),
            "token_type": "Bearer",  # nosec B105  # how it is sent
            "jti": who.token_id,
            "iss": self._container.config.issuer,
            "aud": audience,
            **({"client_name": who.actor_name} if who.actor_type == CLIENT and who.actor_name else {}),
            **more,
        }

    async def _user_name(self, who: Principal) -> str | None:
        user_id = parse_id(who.actor) if who.is_person else None
        if user_id is None:
            return None
        async with self._container.database.connection() as connection:
            rows = await user_store.find_by_ids(connection, who.tenant, [user_id])
        return rows[0]["user_name"] if rows else None

    async def _revoke_scim(self, asker: Asker, origin: RequestOrigin, token: str) -> None:
        found: ScimToken | None = await self._scim_tokens.find(token)
        if found is None or found.client_id != asker.client_id or not asker.knows(found.tenant):
            return
        caller = _caller(origin, found.tenant, asker.client_id, asker.name, CLIENT)
        await revoke_scim_token(self._container, caller, found.id)

    async def _revoke_refresh(self, asker: Asker, origin: RequestOrigin, token: str) -> None:
        """End the session of a refresh token, also of one that was used before."""
        tenant, found = await self._refresh_token(token)
        if found is None or found["client_id"] != asker.client_id or not asker.knows(tenant):
            return
        caller = _caller(origin, tenant, str(found["user_id"]), None, USER)
        async with unit_of_work(self._container, caller) as work:
            await session_ending.end_session(work, found["session_id"], found["user_id"])

    async def _refresh_token(self, token: str) -> tuple[str, asyncpg.Record | None]:
        tenant = tenant_of(REFRESH_TOKEN, token)
        if tenant is None:
            return "", None
        async with self._container.database.connection() as connection:
            return tenant, await session_store.find_refresh_token(connection, tenant, TokenHashes.of(token))

    async def _revoke_access(self, asker: Asker, origin: RequestOrigin, token: str) -> None:
        who = await self._verified(token)
        if who is None or who.client_id != asker.client_id or not asker.knows(who.tenant):
            return
        self._count(who)
        container = self._container
        tenant = SYSTEM_TENANT if who.tenant == ANY_TENANT else who.tenant
        end = datetime.fromtimestamp(who.expires_at, UTC)
        ended = [revocation(who.tenant, "token", who.token_id, container.clock(), expires_at=end)]
        caller = _caller(origin, tenant, who.actor, who.actor_name, who.actor_type)
        async with unit_of_work(container, caller) as work:
            revoke(work, ended)

    def _count(self, who: Principal) -> None:
        """Count the revocation of a single access token. Raises LimitedError."""
        for windows, key in (
            (self._ended_by_one, (who.tenant, who.client_id, who.actor)),
            (self._ended_by_tenant, who.tenant),
        ):
            if windows.take(key) == REFUSED:
                raise LimitedError("revocation", windows.wait(key))

    async def _verified(self, token: str) -> Principal | None:
        """The principal of an access token for any service; None for an invalid token."""
        try:
            return await self._own_verifier().verify(token)
        except UnauthorizedError:
            return None

    def _own_verifier(self) -> TokenVerifier:
        # not the container's verifier, which accepts tokens for this service only; a new one each time, since the cache
        # of a verifier would still have tokens of a withdrawn key
        find_key = self._container.key_finder
        if find_key is None:
            raise RuntimeError("the users service finds its keys itself")
        issuer = self._container.config.issuer
        audiences = frozenset({AUDIENCE, *(f"{issuer}/{service}" for service in SERVICES)})
        return TokenVerifier(issuer, find_key, audiences=audiences, revoked=self._container.revocations.reason)


def _caller(origin: RequestOrigin, tenant: str, actor: str, name: str | None, actor_type: str | None) -> Caller:
    return Caller(tenant, actor, origin.address, actor_name=name, actor_type=actor_type, user_agent=origin.user_agent)
