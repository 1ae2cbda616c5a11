"""What the attacks share: strangers with an address of their own, the real signing key, and what the audit log says."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from unittest.mock import patch

import pytest

from quartet_cli.stack import Stack
from quartet_common.config.settings import read_config
from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.data.database import open_database
from quartet_testing.attacks import Recorded, Stranger, somewhere
from quartet_testing.client import Api, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.forgery import Forger
from quartet_testing.services import new_tenant
from quartet_users.config import UsersConfig
from quartet_users.tokens.key_ring import KeyPair, KeyRing


@pytest.fixture(scope="module")
async def stranger(stack: Stack) -> AsyncIterator[Stranger]:
    """A client without a token, from an address of its own."""
    async with somewhere(stack.url) as found:
        yield found


@pytest.fixture(scope="session")
async def signing_pair(stack: Stack) -> KeyPair:
    """The key that signs access tokens: what an attacker would give most for."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARTET_")}
    with patch.dict(os.environ, {**kept, **stack.environment("users", "api")}, clear=True):
        config = read_config(UsersConfig)
    database = await open_database(config)
    try:
        return await KeyRing(lambda: database, config.master_key.get_secret_value(), utc_now).signing_pair()
    finally:
        await database.close()


@pytest.fixture(scope="module")
async def forger(stack: Stack, signing_pair: KeyPair) -> Forger:
    """Forges tokens of a tenant of the module's own, from a good one that has all scopes."""
    token = await asyncio.to_thread(stack.token, new_tenant())
    return Forger(token, signing_pair.key, signing_pair.id)


@pytest.fixture(scope="module")
async def mine(stack: Stack, forger: Forger) -> AsyncIterator[Api]:
    """A client with all scopes of the module's tenant: a tenant for each test would cost more than most tests."""
    async with Api(stack.url, forger.token) as client:
        yield client


@pytest.fixture
async def recorded(stack: Stack, token_for: TokenFor) -> Recorded:
    """Waits for what the audit log says of the refusals of an address."""
    token = await token_for(SYSTEM_TENANT, "audit:read")

    async def wait(service: str, address: str, expected: dict[str, int]) -> None:
        async with Api(stack.url, token) as auditor:

            async def probe() -> bool:
                entries = await auditor.entries(action=f"{service}.request.refused", outcome="denied")
                found: Counter[str] = Counter()
                for entry in entries:
                    if entry["source_address"] == address:
                        found[entry["data"]["reason"]] += entry["data"]["count"]
                assert found == expected, f"{sorted(found.items())} of {address} at {service}"
                return True

            await eventually(probe, f"refusals of {address} at {service}: {sorted(expected.items())}")

    return wait
