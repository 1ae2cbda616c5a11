"""Password hashing: argon2id hashes, made and verified in threads of low priority, a few at a time; imported hashes of
other schemes are verified only.
"""

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
from quartet_users.passwords import imported_hashes
from quartet_users.passwords.password_policy import MAX_BYTES, PasswordPolicy, normalise

T = TypeVar("T")

AT_ONCE = 2
"""Passwords of one Bulk request that are hashed or wait at the same time."""
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""The cost that OWASP recommends for argon2id: 19 MiB and about 28 ms of a core."""
SALT_BYTES, HASH_BYTES = 16, 32
WAITING = 100
"""Passwords of one tenant that may wait for a thread; further ones get 429."""
PATIENCE = 15.0
"""Seconds that a password waits for a thread; then the response is 429, or 503 if it waited for other tenants."""
NICENESS = 10
"""The niceness of the threads: logins do not slow down other requests when processors are busy."""


class Hasher(Protocol):
    """The interface of argon2's PasswordHasher."""

    def hash(self, password: str) -> str:
        """The PHC string of a password."""

    def verify(self, hash: str, password: str) -> bool:  # noqa: A002  # argon2's name
        """Returns True, or raises argon2's VerificationError or InvalidHashError."""

    def check_needs_rehash(self, hash: str) -> bool:  # noqa: A002  # argon2's name
        """Whether the hash has another cost."""


class Passwords:
    """Hashes and verifies passwords, and has the policy for new ones.

    argon2 releases the GIL, so the event loop continues. `share` divides the `threads` among tenants in turn, and
    within a tenant logins come first. If `waiting` passwords of a tenant wait, the next one gets ShareExceededError
    (429 with Retry-After) at once, instead of a response after the client's timeout. `tenant` is None for all tenants
    that do not exist: they are one holder, so that invented names do not delay real tenants.
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
        self._pool = ThreadPoolExecutor(threads, "passwords", initializer=_lower_priority)
        self.share = FairShare("password hashes", threads, threads, queue=waiting, timeout=PATIENCE)
        self._nobodys = nobodys_hash()

    async def hash(self, password: str, tenant: str | None, *, urgent: bool = False) -> str:
        """The PHC string of the normalised `password` with a new salt; `urgent` for logins.

        Raises ShareExceededError (429), CapacityExceededError (503).
        """
        return await self._work(lambda: self._hasher.hash(normalise(password)), tenant, urgent=urgent)

    async def verify(self, password_hash: str | None, password: str, tenant: str | None) -> bool:
        """Whether the hash is that of `password`. Without a hash False, after a verification of the present cost.

        Raises ShareExceededError (429), CapacityExceededError (503).
        """
        known = self._nobodys if password_hash is None else password_hash
        return (
            await self._work(lambda: self._verify(known, password), tenant, urgent=True) and password_hash is not None
        )

    def is_outdated(self, password_hash: str) -> bool:
        """Whether a hash has another scheme or cost than the present one."""
        return imported_hashes.is_imported(password_hash) or self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        fits = len(password) <= MAX_BYTES  # a longer one is wrong; the same work as for a short one
        if imported_hashes.is_imported(password_hash):
            return fits and imported_hashes.verify(password_hash, password)
        try:
            return self._hasher.verify(password_hash, normalise(password) if fits else "") and fits
        except (VerifyMismatchError, VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    async def _work(self, work: Callable[[], T], tenant: str | None, *, urgent: bool) -> T:
        async with self.share.hold(tenant, urgent=urgent):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def nobodys_hash() -> str:
    """A random hash of the present cost that no password has: it is verified if there is no user."""
    salt, tag = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (SALT_BYTES, HASH_BYTES))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${tag}"


def _lower_priority() -> None:
    if sys.platform == "linux":  # only there can the priority of a single thread be set
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
