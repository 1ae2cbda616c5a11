"""Client tokens: exchanges the id and secret of an API client (HTTP Basic) for an access token, and caches it."""

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import msgspec
from cachetools import FIFOCache

from quartet_common.auth.basic_authentication import basic
from quartet_common.core.cache_counts import CacheCounts
from quartet_common.core.errors import LimitedError, UnauthorizedError, UnavailableError
from quartet_common.core.identifiers import TENANT_ID
from quartet_serving.percent import unquote_plus

logger = logging.getLogger(__name__)

TIMEOUT = 2.0
"""Timeout of an exchange in seconds."""
RENEW_BEFORE = 60
"""Seconds before its end at which a token is exchanged for a new one."""
REFUSED_KEPT = 10.0
"""Seconds for which refused credentials are refused again without a request to users."""
KEPT = 10_000
"""Cached tokens, and as many refused credentials."""
MAX_HEADER = 1024
MAX_WAIT = 3600
"""The longest Retry-After of users that is handed on, in seconds."""
WRONG_SECRET = "wrong_secret"  # noqa: S105  # a reason
WRONG = "The client id or its secret is wrong."
NO_CLIENT = "HTTP Basic needs the id and the secret of an API client of a tenant, separated by a colon."


class _Answer(msgspec.Struct, frozen=True):
    """The members of a token response that are used (RFC 6749 section 5.1)."""

    access_token: str
    expires_in: float


@dataclass(frozen=True)
class _Held:
    token: str
    until: float


def read_basic(encoded: str) -> tuple[str, str]:
    """Client id and secret in the value of `Authorization: Basic`, form-encoded or not (RFC 6749 section 2.3.1).

    Raises UnauthorizedError for anything that is not the id of an API client of a tenant with a secret.
    """
    try:
        text = base64.b64decode(encoded, validate=True).decode() if len(encoded) <= MAX_HEADER else ""
    except ValueError:  # includes binascii.Error and UnicodeDecodeError
        text = ""
    client_id, _, secret = text.partition(":")
    client_id, secret = unquote_plus(client_id.encode()), unquote_plus(secret.encode())
    if TENANT_ID.fullmatch(client_id.rpartition(".")[0]) is None or not secret or not client_id.isascii():
        raise UnauthorizedError("malformed", NO_CLIENT)
    return client_id, secret


class ClientTokens:
    """Access tokens by the credentials of API clients. The cache holds hashes of the credentials only."""

    def __init__(
        self,
        http: Callable[[], httpx.AsyncClient],
        users_url: str,
        now: Callable[[], float] = time.monotonic,
        counts: CacheCounts | None = None,
    ) -> None:
        self._counts = counts or CacheCounts("tokens of clients")
        self._http = http
        self._url = f"{users_url.rstrip('/')}/oauth2/token"
        self._now = now
        self._held: FIFOCache[bytes, _Held] = FIFOCache(KEPT)
        self._refused: FIFOCache[bytes, float] = FIFOCache(KEPT)
        self._exchanges: dict[bytes, asyncio.Task[str]] = {}

    def has_cached(self, encoded: str) -> bool:
        """Whether the credentials have a valid token, so that they cost nothing."""
        held = self._held.get(_key(encoded))
        return held is not None and self._now() < held.until

    def forget(self, encoded: str) -> None:
        """Exchange the credentials again at their next use: their token was refused."""
        self._held.pop(_key(encoded), None)

    async def exchange(self, encoded: str, address: str | None) -> str:
        """The access token for the value of `Authorization: Basic`, sent from `address`. Concurrent requests share an
        exchange.

        Raises UnauthorizedError, LimitedError as the users service does, UnavailableError if it does not answer.
        """
        key = _key(encoded)
        held = self._held.get(key)
        is_valid = held is not None and self._now() < held.until
        self._counts.count(is_hit=is_valid)
        if held is not None and is_valid:
            return held.token
        client_id, secret = read_basic(encoded)
        if self._now() < self._refused.get(key, 0.0):
            raise UnauthorizedError(WRONG_SECRET, WRONG)
        task = self._exchanges.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._request(key, client_id, secret, address))
            self._exchanges[key] = task
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(task)  # a request that is cancelled does not cancel the exchange of the others

    def _end(self, key: bytes, done: "asyncio.Task[str]") -> None:
        del self._exchanges[key]
        if not done.cancelled():
            done.exception()  # else asyncio logs it, if all requests were cancelled

    async def _request(self, key: bytes, client_id: str, secret: str, address: str | None) -> str:
        began = self._now()
        response = await self._send(client_id, secret, address)
        if response.status_code == httpx.codes.OK:
            answer = msgspec.json.decode(response.content, type=_Answer)
            self._held[key] = _Held(answer.access_token, began + max(answer.expires_in - RENEW_BEFORE, 1.0))
            return answer.access_token
        self._held.pop(key, None)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise LimitedError("refused", _wait(response))
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._refused[key] = self._now() + REFUSED_KEPT
            raise UnauthorizedError(WRONG_SECRET, WRONG)
        if response.status_code == httpx.codes.BAD_REQUEST:  # the client is known, but gets no token
            raise UnauthorizedError("tenant_suspended" if b"suspended" in response.content else "revoked")
        logger.warning("the exchange of credentials failed", extra={"url": self._url, "status": response.status_code})
        raise UnavailableError("users")

    async def _send(self, client_id: str, secret: str, address: str | None) -> httpx.Response:
        """The response of users, which counts wrong secrets of the client at `address`."""
        headers = {} if address is None else {"X-Forwarded-For": address}
        form = {"grant_type": "client_credentials"}
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._http().post(self._url, auth=basic(client_id, secret), data=form, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise UnavailableError("users") from error


def _wait(response: httpx.Response) -> int:
    """The seconds in Retry-After."""
    text = response.headers.get("Retry-After", "")
    return min(int(text), MAX_WAIT) if text.isdecimal() else 1


def _key(encoded: str) -> bytes:
    return hashlib.sha256(encoded.encode(errors="replace")).digest()
