"""JWKS client: fetches and caches the signing keys of the users service; limits fetches caused by unknown key ids."""

import asyncio
import logging
import re
import time
from collections.abc import Callable

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from quartet_common.core.errors import UnavailableError

logger = logging.getLogger(__name__)

REFRESH_INTERVAL = 300.0
"""Maximum age of the keys in seconds, so that a withdrawn key is noticed."""
MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")
UNKNOWN_INTERVAL = 2.0
"""Seconds between two fetches caused by unknown key ids."""


class RemoteKeys:
    """The published keys of the users service (RFC 7517), by key id."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        now: Callable[[], float] = time.monotonic,
        withdrawn: Callable[[], None] = lambda: None,
    ) -> None:
        """`withdrawn` is called when a published key disappears."""
        self._http = http
        self._url = url
        self._now = now
        self._withdrawn = withdrawn
        self._etag = ""
        self._fresh_for = REFRESH_INTERVAL
        self._keys: dict[str, ECKey] = {}
        self._fetched_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> ECKey | None:
        """The key with `key_id`, or None. Raises UnavailableError (503) until keys were fetched once."""
        age = self._now() - self._fetched_at
        if age > REFRESH_INTERVAL or (key_id not in self._keys and age > UNKNOWN_INTERVAL):
            async with self._lock:
                if self._now() - self._fetched_at >= age:  # no other request fetched while this one waited
                    await self._fetch()
        if not self._keys:
            raise UnavailableError("users")
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Fetch the keys if there are none, or at half of their maximum age, so that no request waits for them."""
        is_due = not self._keys or self._now() - self._fetched_at > self._fresh_for / 2
        if is_due and not self._lock.locked():
            async with self._lock:
                before = self._fetched_at
                await self._fetch()
                if not self._keys:  # users is not ready: the next request fetches without a pause
                    self._fetched_at = before

    async def _fetch(self) -> None:
        try:
            response = await self._http.get(self._url, headers={"If-None-Match": self._etag} if self._keys else {})
            if response.status_code != httpx.codes.NOT_MODIFIED:
                response.raise_for_status()
                self._take({one["kid"]: ECKey.import_key(one) for one in response.json()["keys"] if _is_ours(one)})
            self._etag = response.headers.get("ETag", "")
            self._fresh_for = _max_age(response.headers.get("Cache-Control", ""))
        except (httpx.HTTPError, JoseError, AttributeError, KeyError, TypeError, ValueError) as error:
            logger.warning("cannot fetch the signing keys", extra={"url": self._url, "error": repr(error)[:300]})
        self._fetched_at = self._now()

    def _take(self, keys: dict[str, ECKey]) -> None:
        gone = self._keys.keys() - keys.keys()
        self._keys = keys
        if gone:
            self._withdrawn()


def _max_age(header: str) -> float:
    """The maximum age of a response in seconds (RFC 9111 section 5.2.2.1), within limits."""
    found = MAX_AGE.search(header)
    return REFRESH_INTERVAL if found is None else min(max(float(found.group(1)), UNKNOWN_INTERVAL), REFRESH_INTERVAL)


def _is_ours(item: dict[str, object]) -> bool:
    """Whether a published key signs access tokens; the set may contain others."""
    kind = (item.get("kty"), item.get("crv"), item.get("use", "sig"), item.get("alg", "ES256"))
    return isinstance(item.get("kid"), str) and kind == ("EC", "P-256", "sig", "ES256")
