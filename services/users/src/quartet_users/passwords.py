"""Passwords: argon2id hashes, made off the event loop and few at a time."""

import asyncio
from functools import partial

from argon2 import PasswordHasher
from argon2.low_level import Type

AT_ONCE = 2
"""Hashes made at the same time; each takes 19 MiB and some 20 ms of a core."""


class Passwords:
    """Hashes passwords at OWASP's first choice of cost for argon2id: 19 MiB, 2 passes, 1 lane."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """The PHC string of `password`, with a salt of its own."""
        async with self._slots:
            return await asyncio.to_thread(partial(self._hasher.hash, password))
