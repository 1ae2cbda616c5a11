"""The key ring: the ES256 key pairs that sign access tokens, in the database; private keys are encrypted."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from joserfc.jwk import ECKey

from quartet_common.auth.sealing import Sealer
from quartet_common.core.clock import Clock
from quartet_common.core.fair_share import as_own_work
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_users.tokens import key_store
from quartet_users.tokens.key_domain import KeyState, KeyTimes, states

RELOAD_INTERVAL = 2.0
"""Minimum seconds between two reads of the keys because of unknown key ids."""
REFRESH_INTERVAL = 5.0
"""Seconds after which the keys are read again: for so long this process may accept a withdrawn key."""


@dataclass(frozen=True)
class KeyPair:
    """A key pair and its id."""

    id: str
    key: ECKey

    @property
    def public(self) -> dict[str, Any]:
        """The published JWK (RFC 7517)."""
        return {**self.key.as_dict(private=False), "kid": self.id, "use": "sig", "alg": "ES256"}


class Vault:
    """Creates and decrypts key pairs with the master key."""

    def __init__(self, master_key: str) -> None:
        self._sealer = Sealer(master_key)

    async def make(self, connection: Connection, now: datetime, signs_from: datetime) -> KeyTimes:
        """Create and store a key pair."""
        pair = KeyPair(new_id().hex, ECKey.generate_key("P-256"))
        secret = self._sealer.seal(orjson.dumps(pair.key.as_dict(private=True)))
        times = KeyTimes(pair.id, now, signs_from)
        await key_store.insert_key(connection, times, orjson.dumps(pair.public).decode(), secret)
        return times

    def open(self, key_id: str, secret: str) -> KeyPair:
        """Decrypt a stored key pair. Raises WrongMasterKeyError."""
        return KeyPair(key_id, ECKey.import_key(orjson.loads(self._sealer.open(key_id, secret))))


class KeyRing:
    """The signing keys of the installation in the memory of a process.

    All processes decide by the times in the database which key signs, and read the keys every few seconds, so that they
    agree. `withdrawn` is called when a key was withdrawn.
    """

    def __init__(
        self,
        database: Callable[[], Database],
        master_key: str,
        clock: Clock,
        token_lifetime: int = 3600,
        withdrawn: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._vault = Vault(master_key)
        self._clock = clock
        self._lifetime = token_lifetime
        self._withdrawn = withdrawn
        self._pairs: dict[str, KeyPair] = {}
        self._times: list[KeyTimes] = []
        self._loaded_at = float("-inf")
        self._lock = asyncio.Lock()

    async def signing_pair(self) -> KeyPair:
        """The pair that signs now; creates the first one of the installation."""
        await self.refresh()
        found = self._states()
        # if this clock is behind that of the process which created the only key, that key is next, not current
        signing = next((one for one in found if one.state == "current"), found[-1])
        return self._pairs[signing.times.id]

    async def published(self) -> list[dict[str, Any]]:
        """The public keys, newest first, including the next one."""
        await self._load_after(RELOAD_INTERVAL)
        return [self._pairs[one.times.id].public for one in self._states() if one.state != "over"]

    async def find(self, key_id: str) -> ECKey | None:
        """The key with `key_id`, or None. Reads the keys again for an unknown id: another process may have made it."""
        await self._load_after(REFRESH_INTERVAL if key_id in self._pairs else RELOAD_INTERVAL)
        usable = {one.times.id for one in self._states() if one.state != "over"}
        return self._pairs[key_id].key if key_id in usable else None

    async def refresh(self) -> None:
        """Read the keys again if they are older than REFRESH_INTERVAL."""
        await self._load_after(REFRESH_INTERVAL)

    def invalidate(self) -> None:
        """Drop the keys and the cache of verified tokens, after this process has changed the keys."""
        self._loaded_at = float("-inf")
        self._withdrawn()

    def _states(self) -> list[KeyState]:
        return states(self._times, self._clock(), self._lifetime)

    async def _load_after(self, seconds: float) -> None:
        loaded_at = self._loaded_at
        if time.monotonic() - loaded_at > seconds:
            async with self._lock:
                if self._loaded_at == loaded_at:  # no other task has loaded them meanwhile
                    await self._load()

    async def _load(self) -> None:
        with as_own_work():
            await self._read()

    async def _read(self) -> None:
        async with self._database().transaction() as connection:
            rows = await key_store.read_keys(connection)
            if not rows:
                await key_store.lock_keys(connection)
                rows = await key_store.read_keys(connection)
            if not rows:
                now = self._clock()
                await self._vault.make(connection, now, now)
                rows = await key_store.read_keys(connection)
        before = self._pairs
        self._pairs = {
            row["key_id"]: before.get(row["key_id"]) or self._vault.open(row["key_id"], row["private_key"])
            for row in rows
        }
        self._times = [KeyTimes(row["key_id"], row["created_at"], row["signs_from"]) for row in rows]
        self._loaded_at = time.monotonic()
        if before.keys() - self._pairs.keys():
            self._withdrawn()
