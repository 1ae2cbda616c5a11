"""Keys: the ES256 pairs that sign access tokens, kept in the database, the private half under the master key."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

from quartet_common.core.clock import Clock
from quartet_common.core.fair_share import as_own_work
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_users.config import decode_master_key
from quartet_users.tokens import key_store
from quartet_users.tokens.key_domain import KeyState, KeyTimes, states

RELOAD_INTERVAL = 2.0
"""Seconds between two looks into the database that an unknown key id may cause."""
REFRESH_INTERVAL = 5.0
"""Seconds after which the keys are read anew: so long a key that was withdrawn may still be relied on here."""
ENVELOPE = {"alg": "dir", "enc": "A256GCM"}


@dataclass(frozen=True)
class KeyPair:
    """A key and its id; `key` holds the private half."""

    id: str
    key: ECKey

    @property
    def public(self) -> dict[str, Any]:
        """The public half as a JWK (RFC 7517), as it is published."""
        return {**self.key.as_dict(private=False), "kid": self.id, "use": "sig", "alg": "ES256"}


class WrongMasterKeyError(Exception):
    """A signing key that is in the database cannot be decrypted."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"signing key {key_id} cannot be decrypted: QUARTET_MASTER_KEY has changed since the key was created"
        )


class Vault:
    """Makes key pairs and opens those that are stored; both need the master key."""

    def __init__(self, master_key: str) -> None:
        self._master_key = OctKey.import_key(decode_master_key(master_key))

    async def make(self, connection: Connection, now: datetime, signs_from: datetime) -> KeyTimes:
        """Store a new pair."""
        pair = KeyPair(new_id().hex, ECKey.generate_key("P-256"))
        secret = jwe.encrypt_compact(ENVELOPE, orjson.dumps(pair.key.as_dict(private=True)), self._master_key)
        times = KeyTimes(pair.id, now, signs_from)
        await key_store.insert_key(connection, times, orjson.dumps(pair.public).decode(), secret)
        return times

    def open(self, key_id: str, secret: str) -> KeyPair:
        """The pair that is stored as `secret`. Raises WrongMasterKeyError."""
        try:
            plain = jwe.decrypt_compact(secret, self._master_key).plaintext
        except JoseError as error:
            raise WrongMasterKeyError(key_id) from error
        return KeyPair(key_id, ECKey.import_key(orjson.loads(plain or b"")))


class KeyRing:
    """The signing keys of this installation, as this process knows them.

    All processes decide by the moments in the database which of the keys signs, and read the keys anew every few
    seconds, so that they agree. `withdrawn` is called when a key that verified does so no more.
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
        """The pair that signs now; makes the installation's first one when there is none."""
        await self.refresh()
        found = self._states()
        # where this clock is behind that of who made the only key, none signs yet: the first to come does
        signing = next((one for one in found if one.state == "current"), found[-1])
        return self._pairs[signing.times.id]

    async def published(self) -> list[dict[str, Any]]:
        """The public keys, newest first: the one to come too."""
        await self._load_after(RELOAD_INTERVAL)
        return [self._pairs[one.times.id].public for one in self._states() if one.state != "over"]

    async def find(self, key_id: str) -> ECKey | None:
        """The key with `key_id`, or None. Another process may have made it, so an unknown one is looked for again."""
        await self._load_after(REFRESH_INTERVAL if key_id in self._pairs else RELOAD_INTERVAL)
        usable = {one.times.id for one in self._states() if one.state != "over"}
        return self._pairs[key_id].key if key_id in usable else None

    async def refresh(self) -> None:
        """Read the keys anew, if that was not done lately."""
        await self._load_after(REFRESH_INTERVAL)

    def look_again(self) -> None:
        """Read the keys anew before they are used again, and verify each token anew: this process has changed them."""
        self._loaded_at = float("-inf")
        self._withdrawn()

    def _states(self) -> list[KeyState]:
        return states(self._times, self._clock(), self._lifetime)

    async def _load_after(self, seconds: float) -> None:
        loaded_at = self._loaded_at
        if time.monotonic() - loaded_at > seconds:
            async with self._lock:
                if self._loaded_at == loaded_at:  # nobody else has while we waited
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
