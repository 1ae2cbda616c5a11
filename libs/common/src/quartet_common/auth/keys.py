"""Keys: fetches the users service's JWKS and keeps it; an unknown key id asks again, but not for every forged token."""

import asyncio
import logging
import time
from collections.abc import Callable

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from quartet_common.errors import UnavailableError

logger = logging.getLogger(__name__)

REFRESH_INTERVAL = 300.0
"""Seconds after which known keys are asked for again, so that a withdrawn one is noticed."""
UNKNOWN_INTERVAL = 2.0
"""Seconds between two questions that an unknown key id may cause."""


class RemoteKeys:
    """The published keys of the users service (RFC 7517), by key id."""

    def __init__(self, http: httpx.AsyncClient, url: str, now: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._url = url
        self._now = now
        self._keys: dict[str, ECKey] = {}
        self._fetched_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> ECKey | None:
        """The key with `key_id`, or None. Raises UnavailableError (503) while no keys could ever be fetched."""
        age = self._now() - self._fetched_at
        if age > REFRESH_INTERVAL or (key_id not in self._keys and age > UNKNOWN_INTERVAL):
            async with self._lock:
                if self._now() - self._fetched_at >= age:  # nobody else fetched while we waited
                    await self._fetch()
        if not self._keys:
            raise UnavailableError("users")
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        try:
            response = await self._http.get(self._url)
            response.raise_for_status()
            self._keys = {item["kid"]: ECKey.import_key(item) for item in response.json()["keys"] if _is_ours(item)}
        except (httpx.HTTPError, JoseError, AttributeError, KeyError, TypeError, ValueError) as error:
            logger.warning(
                "the signing keys could not be fetched", extra={"url": self._url, "error": repr(error)[:300]}
            )
        self._fetched_at = self._now()


def _is_ours(item: dict[str, object]) -> bool:
    """Whether a published key is one of those that sign access tokens; others may stand beside it."""
    kind = (item.get("kty"), item.get("crv"), item.get("use", "sig"), item.get("alg", "ES256"))
    return isinstance(item.get("kid"), str) and kind == ("EC", "P-256", "sig", "ES256")
