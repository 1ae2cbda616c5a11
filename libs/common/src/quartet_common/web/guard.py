"""The guard: a token needs one of the scopes of a route; public routes need no token, all others answer 403."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from quart import Quart, Request, request
from quart_schema import security_scheme

from quartet_common.auth.principal import (
    ACTOR_HEADER,
    ACTOR_NAME_HEADER,
    ACTOR_TYPE_HEADER,
    ANY_TENANT,
    TENANT_HEADER,
    USER_AGENT_HEADER,
    Principal,
    from_header,
)
from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.core.caller import MAX_ACTOR_NAME, MAX_USER_AGENT, Caller, RequestOrigin, cut
from quartet_common.core.errors import BadRequestError, ForbiddenError, UnauthorizedError
from quartet_common.core.fair_share import HOLDER, address_holder
from quartet_common.limits.limiter import SECRET, address_key
from quartet_common.telemetry.logs import add_context
from quartet_common.web.service_request import ServiceRequest, running_globals, running_request

if TYPE_CHECKING:
    from quartet_common.auth.client_tokens import ClientTokens
    from quartet_common.auth.token_verifier import TokenVerifier
    from quartet_common.limits.limiter import Limiter

F = TypeVar("F", bound=Callable[..., Any])

SCOPES_ATTRIBUTE = "quartet_scopes"
PERSON_ATTRIBUTE = "quartet_person"
PUBLIC_ATTRIBUTE = "quartet_public"
UNLIMITED_ATTRIBUTE = "quartet_unlimited"
BASIC_ATTRIBUTE = "quartet_basic"
A_PERSON = "(that of a person)"
"""Stands for a scope in the 403 of routes for people only."""
PERSON_REQUIRED = "The access token of a user is required. Log in at /users/login."
MAX_NAME = 256


def requires(*scopes: str, person: bool = False) -> Callable[[F], F]:
    """Mark a view as needing any one of `scopes`; further checks are up to the view.

    `person`: people who have logged in need no scope for their own data.
    """
    if not scopes and not person:
        raise ValueError("A view that needs no scope is marked with @public.")

    def mark(view: F) -> F:
        if is_public(view):
            raise ValueError(f"{view.__name__} has @public and @requires. Remove one of them.")
        setattr(view, SCOPES_ATTRIBUTE, scopes)
        setattr(view, PERSON_ATTRIBUTE, person)
        return view

    return mark


def public(view: F) -> F:
    """Mark a view that needs no token."""
    if scopes_of(view) or lets_people_in(view):
        raise ValueError(f"{view.__name__} has @public and @requires. Remove one of them.")
    setattr(view, PUBLIC_ATTRIBUTE, True)
    return security_scheme([])(view)


def unlimited(view: F) -> F:
    """Mark a public view without limits."""
    setattr(view, UNLIMITED_ATTRIBUTE, True)
    return public(view)


def accepts_basic(view: F) -> F:
    """Mark a view that also takes the id and secret of an API client by HTTP Basic, for programs without OAuth.

    No response has a Basic challenge: a browser would ask for the secret, and send it with requests of other sites.
    """
    setattr(view, BASIC_ATTRIBUTE, True)
    return view


def scopes_of(view: Callable[..., Any]) -> tuple[str, ...]:
    """The scopes of which a view needs one; looks through wrappers. Empty for a view that was not marked."""
    scopes = getattr(view, SCOPES_ATTRIBUTE, ())
    return scopes if isinstance(scopes, tuple) else ()


def lets_people_in(view: Callable[..., Any]) -> bool:
    """Whether people need no scope for a view."""
    return getattr(view, PERSON_ATTRIBUTE, False) is True


def is_public(view: Callable[..., Any] | None) -> bool:
    """Whether a view needs no token; False for None."""
    return getattr(view, PUBLIC_ATTRIBUTE, False) is True


def install_guard(
    app: Quart,
    verifier: Callable[[], "TokenVerifier"],
    limiter: "Limiter",
    clients: Callable[[], "ClientTokens"],
) -> None:
    """Check every request of `app` before its view runs."""

    async def check() -> None:
        asked = running_request()
        view = app.view_functions.get(asked.endpoint or "")
        if getattr(view, UNLIMITED_ATTRIBUTE, False):
            return
        address, known = asked.remote_addr, running_globals()
        HOLDER.set(address_holder(address_key(address)))
        await _require_attempts_left(asked, app, limiter, verifier, clients)
        if view is None or is_public(view) or asked.method == "OPTIONS":
            known.limits = limiter.anonymous(address)
            return  # no such route: 404 or 405 for every client
        try:
            found = known.principal = await _verified(asked, app, verifier(), clients)
        except UnauthorizedError:
            known.limits = limiter.anonymous(address)
            raise
        HOLDER.set(found.tenant)
        cast(ServiceRequest, asked).is_internal = SERVICE_SCOPE in found.scopes
        add_context(tenant=found.tenant, actor=found.actor)
        known.limits = limiter.identified(found)
        scopes = scopes_of(view)
        if not found.scopes.isdisjoint(scopes) or (lets_people_in(view) and found.is_person):
            return
        if scopes:
            raise ForbiddenError(" or ".join(scopes), challenge=scopes[0])
        if lets_people_in(view):
            raise ForbiddenError(A_PERSON, detail=PERSON_REQUIRED)
        raise ForbiddenError("(none is declared for this route)", detail="No scope gives access to this path.")

    app.before_request(check)


def sends_a_secret(asked: Request, app: Quart) -> bool:
    """Whether a request sends a secret instead of a token: a POST to a public endpoint, with any Authorization
    header, or HTTP Basic where a view takes it.
    """
    return _basic(asked, app) is not None or (
        asked.method == "POST" and is_public(app.view_functions.get(asked.endpoint or ""))
    )


def _basic(asked: Request, app: Quart) -> str | None:
    """The credentials of an `Authorization: Basic` header, if the view takes one; None for anything else."""
    if not getattr(app.view_functions.get(asked.endpoint or ""), BASIC_ATTRIBUTE, False):
        return None
    headers = asked.headers.getlist("Authorization")
    scheme, _, encoded = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    return encoded.strip(" ") if scheme.lower() == "basic" else None


async def _verified(
    asked: Request, app: Quart, verifier: "TokenVerifier", clients: "Callable[[], ClientTokens]"
) -> Principal:
    """The principal of a request, by its token, or by the token for its credentials, renewed if it was revoked: another
    secret of the client may have been.
    """
    encoded = _basic(asked, app)
    if encoded is None:
        return _for_tenant(await verifier.verify(_bearer_token()))
    tokens, address = clients(), asked.remote_addr
    was_cached, token = tokens.has_cached(encoded), await tokens.exchange(encoded, address)
    try:
        return await verifier.verify(token)
    except UnauthorizedError:
        tokens.forget(encoded)
        if not was_cached:
            raise
    return await verifier.verify(await tokens.exchange(encoded, address))


async def _require_attempts_left(
    asked: Request,
    app: Quart,
    limiter: "Limiter",
    verifier: "Callable[[], TokenVerifier]",
    clients: "Callable[[], ClientTokens]",
) -> None:
    """Refuse tokens and secrets from an address with too many failures, except cached tokens and, up to a limit per
    second, those that look like ours, so that other clients at the address go on working.

    Raises LimitedError, and UnavailableError (503) until keys were fetched once.
    """
    address = asked.remote_addr
    if sends_a_secret(asked, app):
        encoded = _basic(asked, app)
        if not limiter.may_try(address, SECRET) and (encoded is None or not clients().has_cached(encoded)):
            raise limiter.too_many_failures(address, SECRET)
        return
    header = asked.headers.get("Authorization")
    if header is None or limiter.may_try(address):
        return
    token, known = header.partition(" ")[2].strip(), verifier()
    if known.has_cached(token) or (await known.looks_like_ours(token) and limiter.may_check(address)):
        return
    raise limiter.too_many_failures(address)


async def optional_principal(verifier: "TokenVerifier") -> Principal | None:
    """The principal of a request to a public endpoint; None without a token. Raises UnauthorizedError for an invalid
    token, which must not count as none.
    """
    if "Authorization" not in request.headers:
        return None
    return _for_tenant(await verifier.verify(_bearer_token()))


def principal() -> Principal:
    """The verified principal of the running request."""
    found = running_globals().get("principal")
    if not isinstance(found, Principal):
        raise UnauthorizedError("missing")
    return found


def caller() -> Caller:
    """The caller of the running request."""
    found = principal()
    return Caller(
        found.tenant,
        found.actor,
        source_address(),
        found.scopes,
        found.actor_name,
        found.actor_type,
        user_agent(),
    )


def source_address() -> str | None:
    """The client's address; behind trusted proxies the forwarded one."""
    address: str | None = running_request().remote_addr
    return address[:64] if address else None


def user_agent() -> str | None:
    """The user agent of the request (RFC 9110 section 10.1.5), cut and without control characters; a service names that
    of the request which it serves.
    """
    asked = running_request()
    if getattr(asked, "is_internal", False):
        return cut(from_header(asked.headers.get(USER_AGENT_HEADER, "")), MAX_USER_AGENT)
    return cut(asked.headers.get("User-Agent", ""), MAX_USER_AGENT)


def request_origin() -> RequestOrigin:
    """From where the running request came."""
    return RequestOrigin(source_address(), user_agent())


def _bearer_token() -> str:
    """The token of the Authorization header (RFC 6750 section 2.1), never of a body or a query string.

    Two headers are refused, since readers differ in which one counts.
    """
    headers = running_request().headers.getlist("Authorization")
    if not headers:
        raise UnauthorizedError("missing")
    scheme, _, token = headers[0].partition(" ")
    token = token.strip(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or not token:
        raise UnauthorizedError("malformed")
    return token


def _for_tenant(found: Principal) -> Principal:
    """The principal of a service has the tenant and actor of the headers of its call."""
    if found.tenant != ANY_TENANT:
        return found
    tenant = from_header(request.headers.get(TENANT_HEADER, ""))
    if SERVICE_SCOPE not in found.scopes or not 0 < len(tenant) <= MAX_NAME or tenant == ANY_TENANT:
        raise BadRequestError(f"An access token of a service requires the header {TENANT_HEADER}.", "missing_tenant")
    headers = request.headers
    if ACTOR_HEADER not in headers:
        return replace(found, tenant=tenant, actor=found.actor[:MAX_NAME])
    return replace(
        found,
        tenant=tenant,
        actor=from_header(headers[ACTOR_HEADER])[:MAX_NAME],
        actor_name=cut(from_header(headers.get(ACTOR_NAME_HEADER, "")), MAX_ACTOR_NAME),
        actor_type=cut(headers.get(ACTOR_TYPE_HEADER, ""), MAX_NAME),
    )
