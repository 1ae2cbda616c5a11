"""Use case of bundles: reads a log in batches, each in a transaction of its own, and yields the lines of its bundle."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quartet_audit.checkpoints import checkpoint_store, signing_key_store
from quartet_audit.checkpoints.checkpoint_domain import deployment_origin, tenant_origin
from quartet_audit.checkpoints.checkpoint_store import StoredCheckpoint
from quartet_audit.checkpoints.signing_key_domain import KeyPeriod
from quartet_audit.config import AuditConfig
from quartet_audit.exports import bundle_domain, bundle_store
from quartet_audit.note_domain import ED25519
from quartet_audit.proofs.proof_domain import Consistency, Inclusion
from quartet_audit.proofs.proof_usecases import prove_continuation, prove_deployment
from quartet_audit.retention.retention_store import read_pruned
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG
from quartet_common.core.errors import BadRequestError, NotFoundError
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer

Container = AppContainer[AuditConfig]


@dataclass(frozen=True)
class Bundle:
    """What a bundle begins and ends with, as it was at one moment; `start` is its first entry."""

    tenant: str
    start: int
    checkpoint: StoredCheckpoint
    deployment: Inclusion
    consistency: Consistency | None
    salt: bytes
    header: bytes


async def open_bundle(container: Container, tenant: str, start: int, known: int | None = None) -> Bundle:
    """The bundle of the log of `tenant` from the entry `start`, if it is that small, to its last checkpoint; with the
    proof that the deployment log continues that of `known` leaves.

    Raises NotFoundError (404) before the first checkpoint, BadRequestError (400) if `known` is too large.
    """
    async with container.database.snapshot() as connection:
        checkpoints = await checkpoint_store.read_checkpoints(connection, tenant, DEPLOYMENT_LOG)
        own, deployment = checkpoints.get(tenant), checkpoints.get(DEPLOYMENT_LOG)
        if own is None or deployment is None:
            raise NotFoundError("There is no checkpoint of this log yet.")
        if known is not None and known > deployment.size:
            rule = f"must be at most {deployment.size}, the size of the deployment log, got {known}"
            raise BadRequestError(f"deployment {rule}", "bad_parameter")
        inclusion, salt = await prove_deployment(connection, own, deployment, container.clock(), known or 0)
        consistency = None if known is None else await prove_continuation(connection, known, inclusion.note)
        header = await _header(connection, container.config.public_url, own, start)
        return Bundle(tenant, start, own, inclusion, consistency, salt, header)


async def bundle_lines(container: Container, bundle: Bundle) -> AsyncGenerator[bytes, None]:
    """The lines of a bundle, one batch of entries at a time. Nothing is checked: that is the reader's part."""
    yield bundle.header
    for start, end in bundle_domain.batches(bundle.start, bundle.checkpoint.size):
        async with container.database.connection() as connection:
            entries = await bundle_store.read_entries(connection, bundle.tenant, start, end)
            wanted = bundle_domain.full_tiles(end)
            tiles = await tree_store.read_tiles(connection, bundle.tenant, wanted, end) if wanted else {}
        lines = [bundle_domain.entry_line(entry) for entry in entries]
        lines += [bundle_domain.tile_line(tile, tiles[tile]) for tile in wanted if tile in tiles]
        yield b"".join(lines)
    async with container.database.connection() as connection:
        pruned = await read_pruned(connection, bundle.tenant)
    yield bundle_domain.end_line(bundle.checkpoint.note, bundle.deployment, bundle.consistency, bundle.salt, pruned)


async def _header(connection: Connection, public_url: str, own: StoredCheckpoint, start: int) -> bytes:
    periods = await signing_key_store.read_periods(connection)
    origin, deployment = tenant_origin(public_url, own.log), deployment_origin(public_url)
    keys = {
        "keys": [_key(period, origin) for period in periods if period.type == ED25519],
        "deployment_keys": [_key(period, deployment) for period in periods],
    }
    addresses = bundle_domain.partial_tiles(start)
    tiles = await tree_store.read_tiles(connection, own.log, addresses, start) if addresses else {}
    partial = [tiles.get(address, []) for address in addresses]
    return bundle_domain.header_line(own.log, origin, start, own.size, keys, partial)


def _key(period: KeyPeriod, origin: str) -> dict[str, Any]:
    until: datetime | None = period.until
    return {"vkey": period.of(origin).encode(), "from": period.signs_from, "until": until}
