"""Keys: the ES256 pairs that sign access tokens, kept in the database, the private half under the master key."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

from quartet_common.database import Connection, Database
from quartet_common.ids import Clock, new_id
from quartet_users import store
from quartet_users.config import decode_master_key

RELOAD_INTERVAL = 2.0
"""Seconds between two looks into the database that an unknown key id may cause."""

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
        super().__init__(f"signing key {key_id} cannot be decrypted: QUARTET_MASTER_KEY is another than at its making")


class KeyRing:
    """The signing keys of this installation. The newest signs; all verify."""

    def __init__(self, database: Callable[[], Database], master_key: str, clock: Clock) -> None:
        self._database = database
        self._master_key = OctKey.import_key(decode_master_key(master_key))
        self._clock = clock
        self._pairs: dict[str, KeyPair] = {}
        self._loaded_at = float("-inf")
        self._lock = asyncio.Lock()

    async def signing_pair(self) -> KeyPair:
        """The newest pair; makes the installation's first one when there is none."""
        if not self._pairs:
            await self._load()
        return next(iter(self._pairs.values()))

    async def published(self) -> list[dict[str, Any]]:
        """The public keys, newest first."""
        if time.monotonic() - self._loaded_at > RELOAD_INTERVAL:
            await self._load()
        return [pair.public for pair in self._pairs.values()]

    async def find(self, key_id: str) -> ECKey | None:
        """The key with `key_id`, or None. Another process may have made it, so an unknown one is looked for again."""
        if key_id not in self._pairs and time.monotonic() - self._loaded_at > RELOAD_INTERVAL:
            await self._load()
        pair = self._pairs.get(key_id)
        return pair.key if pair is not None else None

    async def _load(self) -> None:
        async with self._lock, self._database().transaction() as connection:
            rows = await store.read_signing_keys(connection)
            if not rows:
                await store.lock_signing_keys(connection)
                rows = await store.read_signing_keys(connection)
            if not rows:
                await self._make(connection)
                rows = await store.read_signing_keys(connection)
            self._pairs = {row["key_id"]: self._decrypt(row["key_id"], row["private_key"]) for row in rows}
            self._loaded_at = time.monotonic()

    async def _make(self, connection: Connection) -> None:
        pair = KeyPair(new_id().hex, ECKey.generate_key("P-256"))
        secret = jwe.encrypt_compact(ENVELOPE, orjson.dumps(pair.key.as_dict(private=True)), self._master_key)
        await store.insert_signing_key(connection, pair.id, orjson.dumps(pair.public).decode(), secret, self._clock())

    def _decrypt(self, key_id: str, secret: str) -> KeyPair:
        try:
            plain = jwe.decrypt_compact(secret, self._master_key).plaintext
        except JoseError as error:
            raise WrongMasterKeyError(key_id) from error
        return KeyPair(key_id, ECKey.import_key(orjson.loads(plain or b"")))
