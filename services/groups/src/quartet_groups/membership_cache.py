"""A cache of answers about memberships in Redis, by the version of the memberships."""

import asyncio
import time
from functools import partial
from hashlib import blake2b
from typing import Any

from cachetools import LRUCache

from quartet_common.core.cache_counts import CacheCounts
from quartet_common.data.cache import ignore_cache_failure
from quartet_common.runtime.container import AppContainer
from quartet_groups.config import GroupsConfig

TTL = 60
"""Seconds. Answers do not become wrong with time, since their keys have a version that is not used again. A database
restored from a backup does use versions again, but by then the answers have expired.
"""

PAUSE = 5.0
"""Seconds without requests to Redis after it did not answer, so that not every question waits for it."""

DIGEST_SIZE = 16

MAX_REMEMBERED = 10_000
"""The number of recent questions in memory."""

MAX_KEEPING = 100
"""Answers that are being written to Redis at a time; further ones are not cached."""


class AnswerCache:
    """Finds and stores answers while Redis is available; an answer that differs from the stored one counts as missing.

    Answers are cached from the second time of a question on: for questions asked once, the cache would cost more than
    the answer; a cached answer costs a third.
    """

    def __init__(self, container: AppContainer[GroupsConfig]) -> None:
        self._container = container
        self._unavailable_until = 0.0
        self._counts = CacheCounts("answers about memberships")
        container.caches.append(self._counts)
        self._asked: LRUCache[bytes, bool] = LRUCache(MAX_REMEMBERED)
        self._keeping: set[asyncio.Task[object]] = set()

    def is_asked_again(self, tenant: str, question: bytes) -> bool:
        """Whether this process got the question before, and store it as asked."""
        name = _digest(tenant.encode(), question)
        if self._asked.get(name):
            return True
        self._asked[name] = True
        return False

    async def find(self, tenant: str, version: int, question: bytes) -> bytes | None:
        """The cached answer to `question` at `version`, None if there is none."""
        key = _key(tenant, version, question)
        kept = await self._ask(partial(self._container.redis.get, key))
        answer = None
        if isinstance(kept, bytes) and kept[:DIGEST_SIZE] == _digest(key, kept[DIGEST_SIZE:]):
            answer = kept[DIGEST_SIZE:]
        self._counts.count(is_hit=answer is not None)
        return answer

    def keep(self, tenant: str, version: int, question: bytes, answer: bytes) -> None:
        """Store `answer`, which was read at `version`, in the background."""
        if len(self._keeping) < MAX_KEEPING:
            key = _key(tenant, version, question)
            call = partial(self._container.redis.set, key, _digest(key, answer) + answer, ex=TTL)
            task = asyncio.get_running_loop().create_task(self._ask(call))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def _ask(self, call: "partial[Any]") -> object:
        """The answer of Redis; None also if it is unavailable: then it is not asked for PAUSE seconds."""
        if time.monotonic() < self._unavailable_until:
            return None
        answered = await ignore_cache_failure(partial(_wrapped, call))
        if answered is None:
            self._unavailable_until = time.monotonic() + PAUSE
            return None
        return answered[0]


async def _wrapped(call: "partial[Any]") -> tuple[object]:
    """The answer in a tuple, to tell None from a failure."""
    return (await call(),)


def _key(tenant: str, version: int, question: bytes) -> bytes:
    asked = blake2b(question, digest_size=DIGEST_SIZE).hexdigest()
    return f"groups/{tenant}/{version}/{asked}".encode()


def _digest(key: bytes, answer: bytes) -> bytes:
    return blake2b(key + b"\0" + answer, digest_size=DIGEST_SIZE).digest()
