"""Answers about memberships, kept in Redis under the version of the memberships that they were read at."""

import asyncio
import time
from functools import partial
from hashlib import blake2b
from typing import Any

from cachetools import LRUCache

from quartet_common.data.cache import ignore_cache_failure
from quartet_common.runtime.container import AppContainer
from quartet_groups.config import GroupsConfig

TTL = 60
"""Seconds. No answer becomes wrong with time: its key names a version that does not come again. Only a database that is
restored from a backup gives versions anew; by then what was kept is gone."""

PAUSE = 5.0
"""Seconds for which a Redis that did not answer is not asked again, so that not every question waits for it."""

DIGEST_SIZE = 16

MAX_REMEMBERED = 10_000
"""Questions of which it is known that they were asked."""

MAX_KEEPING = 100
"""Answers that may be on their way to Redis; more are not kept."""


class AnswerCache:
    """Finds and keeps answers while Redis is there; what does not come back as it was kept counts as not found.

    A question is looked for and kept from the second time on. Most are asked once, and to look for them and keep them
    would cost more than the answer; those that are asked again cost a third of it.
    """

    def __init__(self, container: AppContainer[GroupsConfig]) -> None:
        self._container = container
        self._away_until = 0.0
        self._asked: LRUCache[bytes, bool] = LRUCache(MAX_REMEMBERED)
        self._keeping: set[asyncio.Task[object]] = set()

    def is_asked_again(self, tenant: str, question: bytes) -> bool:
        """Whether the question was asked before, lately and of this process; from now on it was."""
        name = _digest(tenant.encode(), question)
        if self._asked.get(name):
            return True
        self._asked[name] = True
        return False

    async def find(self, tenant: str, version: int, question: bytes) -> bytes | None:
        """The answer that was given to `question` at `version`, None if there is none."""
        key = _key(tenant, version, question)
        kept = await self._ask(partial(self._container.redis.get, key))
        if not isinstance(kept, bytes) or kept[:DIGEST_SIZE] != _digest(key, kept[DIGEST_SIZE:]):
            return None
        return kept[DIGEST_SIZE:]

    def keep(self, tenant: str, version: int, question: bytes, answer: bytes) -> None:
        """Keep `answer`, which was read at `version`; nobody waits for it."""
        if len(self._keeping) < MAX_KEEPING:
            key = _key(tenant, version, question)
            call = partial(self._container.redis.set, key, _digest(key, answer) + answer, ex=TTL)
            task = asyncio.get_running_loop().create_task(self._ask(call))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def _ask(self, call: "partial[Any]") -> object:
        """What Redis says, None if nothing; one that is away is left alone for a while."""
        if time.monotonic() < self._away_until:
            return None
        answered = await ignore_cache_failure(partial(_wrapped, call))
        if answered is None:
            self._away_until = time.monotonic() + PAUSE
            return None
        return answered[0]


async def _wrapped(call: "partial[Any]") -> tuple[object]:
    """The answer in a tuple: None is an answer too."""
    return (await call(),)


def _key(tenant: str, version: int, question: bytes) -> bytes:
    asked = blake2b(question, digest_size=DIGEST_SIZE).hexdigest()
    return f"groups/{tenant}/{version}/{asked}".encode()


def _digest(key: bytes, answer: bytes) -> bytes:
    return blake2b(key + b"\0" + answer, digest_size=DIGEST_SIZE).digest()
