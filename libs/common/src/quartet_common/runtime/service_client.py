"""Calls to other services, with timeouts, retries, a circuit breaker, a service token and the caller's tenant and
actor.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import stamina
from circuitbreaker import CircuitBreaker, CircuitBreakerError

from quartet_common.auth.basic_authentication import basic
from quartet_common.auth.principal import (
    ACTOR_HEADER,
    ACTOR_NAME_HEADER,
    ACTOR_TYPE_HEADER,
    TENANT_HEADER,
    USER_AGENT_HEADER,
    in_header,
)
from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.fair_share import ShareExceededError

TIMEOUT = httpx.Timeout(5.0, connect=1.0)
LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=1)
"""Idle connections are closed before a service that stops closes them (2 s), so that no request meets a closing one."""
ATTEMPTS = 3
FAILURES_BEFORE_OPEN = 5
SECONDS_OPEN = 5
RENEW_BEFORE = 60
FRESH = 1.0

TokenSource = Callable[[], Awaitable[str]]


def open_http(context: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """The process's one HTTP client, with keep-alive. Proxies of the environment are not used.

    `context` has the trusted and the own certificates; True: public authorities and no own certificate.
    """
    return httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, verify=context, trust_env=False, follow_redirects=False)


class ServiceToken:
    """The service's own access token by client_credentials (RFC 6749 section 4.4), renewed before it expires."""

    def __init__(self, http: httpx.AsyncClient, users_url: str, client_id: str, client_secret: str) -> None:
        self._http = http
        self._url = f"{users_url.rstrip('/')}/oauth2/token"
        self._auth = basic(client_id, client_secret)
        self._token = ""  # none yet
        self._expires_at = 0.0
        self._got_at = float("-inf")
        self._running_request: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Get another token at the next call, since this one was refused. A token newer than FRESH s is kept: its
        successor would be refused too, and each call would request a token.
        """
        if time.monotonic() - self._got_at > FRESH:
            self._expires_at = 0.0

    async def get(self) -> str:
        """A valid token; concurrent callers share one request. Raises httpx.HTTPError if the users service returns
        none.
        """
        if time.monotonic() > self._expires_at - RENEW_BEFORE:
            if self._running_request is None:
                self._running_request = asyncio.get_running_loop().create_task(self._request_token())
                self._running_request.add_done_callback(self._end_request)
            await asyncio.shield(self._running_request)  # a cancelled caller does not cancel the request of the others
        return self._token

    async def _request_token(self) -> None:
        response = await self._http.post(self._url, auth=self._auth, data={"grant_type": "client_credentials"})
        response.raise_for_status()
        answer = response.json()
        self._token = str(answer["access_token"])
        self._got_at = time.monotonic()
        self._expires_at = self._got_at + float(answer["expires_in"])

    def _end_request(self, done: asyncio.Task[None]) -> None:
        self._running_request = None
        if not done.cancelled():
            done.exception()  # else asyncio logs it, if all callers were cancelled


class ServiceClient:
    """Calls one other service on a caller's behalf. `name` is for errors and the circuit breaker; `http` and `token`
    are called at each request, so that a client can be made before the container is open.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        http: Callable[[], httpx.AsyncClient],
        token: TokenSource,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """`refused` is called when the service answers 401, before a new token is requested."""
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._http = http
        self._token = token
        self._refused = refused
        self._breaker = CircuitBreaker(
            failure_threshold=FAILURES_BEFORE_OPEN,
            recovery_timeout=SECONDS_OPEN,
            expected_exception=_is_failure,
            name=name,
        )

    async def request(self, method: str, path: str, caller: Caller, **options: Any) -> httpx.Response:
        """Send the request and return the response with any status below 500.

        Idempotent requests are sent up to three times. Raises UnavailableError (503) if the service does not answer,
        answers 5xx, or its circuit is open, and ShareExceededError (429) if the tenant uses its whole share there.
        """
        try:
            if self._breaker.opened:  # call_async counts failures but lets every call through
                raise CircuitBreakerError(self._breaker)
            response: httpx.Response = await self._breaker.call_async(self._retrying, method, path, caller, options)
        except (httpx.HTTPError, CircuitBreakerError) as error:
            raise UnavailableError(self._name) from error
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise ShareExceededError(f"the {self._name} service")
        return response

    async def _retrying(self, method: str, path: str, caller: Caller, options: dict[str, Any]) -> httpx.Response:
        async for attempt in stamina.retry_context(
            on=_policy, attempts=ATTEMPTS, timeout=8, wait_initial=0.05, wait_max=0.5, wait_jitter=0.05
        ):
            with attempt:
                return await self._once(method, path, caller, options)
        raise AssertionError("stamina returns or raises")

    async def _once(self, method: str, path: str, caller: Caller, options: dict[str, Any]) -> httpx.Response:
        response = await self._send(method, path, caller, options)
        if response.status_code == httpx.codes.UNAUTHORIZED:  # the key of our token was withdrawn; nothing was done
            self._refused()
            response = await self._send(method, path, caller, options)
        if response.status_code in RETRIED_STATUSES or response.status_code >= 500:
            response.raise_for_status()
        return response

    async def _send(self, method: str, path: str, caller: Caller, options: dict[str, Any]) -> httpx.Response:
        headers = {
            **options.get("headers", {}),
            "Authorization": f"Bearer {await self._token()}",
            TENANT_HEADER: in_header(caller.tenant),
            ACTOR_HEADER: in_header(caller.actor),
        }
        described = {
            ACTOR_NAME_HEADER: caller.actor_name,
            ACTOR_TYPE_HEADER: caller.actor_type,
            USER_AGENT_HEADER: caller.user_agent,
        }
        headers |= {name: in_header(value) for name, value in described.items() if value is not None}
        if caller.source_address is not None:  # as the others, for the events of that service
            headers["X-Forwarded-For"] = caller.source_address
        return await self._http().request(method, self._base_url + path, **{**options, "headers": headers})


def _is_failure(_: type[Exception], error: Exception) -> bool:
    """Whether the circuit breaker counts `error`: a busy service, or contention, is no failure."""
    return isinstance(error, httpx.HTTPError) and not (
        isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 503 and _is_busy(error.response)
    )


def _is_busy(response: httpx.Response) -> bool:
    """Whether the problem document has the code `capacity_exceeded` or that of a ContendedError."""
    try:
        document = response.json()
    except ValueError:
        return False
    code = str(document.get("code", "")) if isinstance(document, dict) else ""
    return code == "capacity_exceeded" or code.endswith("_contended")


def _policy(error: Exception) -> bool:
    return is_retryable(error)


IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

RETRIED_STATUSES = frozenset({502, 503, 504})


def is_retryable(error: Exception) -> bool:
    """Whether the request of an httpx call that ended in `error` may be sent again: its method is idempotent (RFC 9110
    section 9.2.2) or it was not sent, and the failure may be temporary.
    """
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return True
    if isinstance(error, httpx.HTTPStatusError):
        return error.request.method in IDEMPOTENT_METHODS and error.response.status_code in RETRIED_STATUSES
    return isinstance(error, httpx.TransportError) and error.request.method in IDEMPOTENT_METHODS
