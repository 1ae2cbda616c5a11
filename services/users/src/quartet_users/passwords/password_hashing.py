"""Passwords: argon2id hashes, made and checked in threads of their own, few at a time and behind everything else."""

import asyncio
import contextlib
import os
import secrets
import sys
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type

from quartet_common.core.fair_share import FairShare
from quartet_users.passwords.password_policy import MAX_BYTES, PasswordPolicy, normalise

T = TypeVar("T")

AT_ONCE = 2
"""Passwords of one Bulk that wait at the same time."""
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""OWASP's first choice of cost for argon2id; 19 MiB and some 28 ms of a core each."""
SALT_BYTES, HASH_BYTES = 16, 32
WAITING = 100
"""Passwords of one tenant that may wait for a thread; what comes beyond gets 429."""
PATIENCE = 15.0
"""Seconds that a password waits for a thread; then the answer is 429, or 503 where it waited for other tenants."""
NICENESS = 10
"""What the threads are put back by where processors are scarce: who only reads is not to notice that others log in."""


class Hasher(Protocol):
    """What makes and checks hashes; argon2's PasswordHasher is one."""

    def hash(self, password: str) -> str:
        """The PHC string of a password."""

    def verify(self, hash: str, password: str) -> bool:  # noqa: A002  # argon2's name
        """True, or argon2's VerificationError or InvalidHashError."""

    def check_needs_rehash(self, hash: str) -> bool:  # noqa: A002  # argon2's name
        """Whether the hash was made at another cost."""


class Passwords:
    """Hashes and verifies passwords, and knows what is accepted as one.

    argon2 lets go of Python's lock while it works, so the event loop runs on beside it. `threads` work at a time, for
    one tenant after the other, and within a tenant for logins first: `share` divides them. When `waiting` passwords of
    a tenant wait already, its next one gets ShareExceededError (429 with Retry-After) at once, instead of an answer
    that comes when nobody waits for it any more. `tenant` is None for all that do not exist: they are one holder, so
    that invented names take no turns from real tenants.
    """

    def __init__(
        self,
        policy: PasswordPolicy | None = None,
        *,
        threads: int = 1,
        waiting: int = WAITING,
        hasher: Hasher | None = None,
    ) -> None:
        self.policy = policy or PasswordPolicy()
        self._hasher = hasher or PasswordHasher(PASSES, MEMORY_KIB, LANES, HASH_BYTES, SALT_BYTES, type=Type.ID)
        self._pool = ThreadPoolExecutor(threads, "passwords", initializer=_stand_back)
        self.share = FairShare("password hashes", threads, threads, queue=waiting, timeout=PATIENCE)
        self._nobodys = nobodys_hash()

    async def hash(self, password: str, tenant: str | None, *, urgent: bool = False) -> str:
        """The PHC string of `password`, normalised, with a salt of its own; `urgent` for logins.

        Raises ShareExceededError (429), CapacityExceededError (503).
        """
        return await self._work(lambda: self._hasher.hash(normalise(password)), tenant, urgent=urgent)

    async def verify(self, password_hash: str | None, password: str, tenant: str | None) -> bool:
        """Whether the hash is of `password`; without a hash False, after the same work as with one of today's cost.

        Raises ShareExceededError (429), CapacityExceededError (503).
        """
        known = self._nobodys if password_hash is None else password_hash
        return (
            await self._work(lambda: self._verify(known, password), tenant, urgent=True) and password_hash is not None
        )

    def is_outdated(self, password_hash: str) -> bool:
        """Whether a hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        fits = len(password) <= MAX_BYTES  # no longer one was ever accepted, and a short one takes as long to refuse
        try:
            return self._hasher.verify(password_hash, normalise(password) if fits else "") and fits
        except (VerifyMismatchError, VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    async def _work(self, work: Callable[[], T], tenant: str | None, *, urgent: bool) -> T:
        async with self.share.hold(tenant, urgent=urgent):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def nobodys_hash() -> str:
    """A hash of today's cost that no password has: what is verified where there is no user."""
    salt, tag = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (SALT_BYTES, HASH_BYTES))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${tag}"


def _stand_back() -> None:
    if sys.platform == "linux":  # where a thread's own priority can be set by its id
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
