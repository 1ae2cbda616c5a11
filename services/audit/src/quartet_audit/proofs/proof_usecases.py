"""Use case of proofs: the proof of one entry, from one snapshot, after a wait for its checkpoint."""

import asyncio
import time
from datetime import datetime
from uuid import UUID

from quartet_audit.checkpoints import checkpoint_store
from quartet_audit.checkpoints.checkpoint_domain import Checkpoint
from quartet_audit.checkpoints.checkpoint_store import StoredCheckpoint
from quartet_audit.config import AuditConfig
from quartet_audit.note_domain import SignedNote
from quartet_audit.proofs import proof_store
from quartet_audit.proofs.log_usecases import served_checkpoint
from quartet_audit.proofs.proof_domain import Consistency, Inclusion, Proof
from quartet_audit.retention.retention_domain import missing_entry
from quartet_audit.retention.retention_store import read_pruned
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import consistency_ranges, inclusion_ranges
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG, DamagedLogError
from quartet_common.core.errors import NotFoundError, ServiceError
from quartet_common.core.fair_share import FairShare
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer

Container = AppContainer[AuditConfig]

WAITS, WAITS_OF_TENANT = 100, 20
"""Requests that wait for a proof at a time: of a process, and of one tenant."""
FIRST_PAUSE, LAST_PAUSE, GROWTH = 0.1, 1.0, 1.5
"""Seconds between two looks for a checkpoint; each pause is GROWTH times as long as the one before: a checkpoint of the
first second is seen half a second later at most.
"""


class CheckpointPendingError(ServiceError):
    """503 with Retry-After: no checkpoint that was signed covers the entry yet."""

    def __init__(self) -> None:
        detail = "No checkpoint covers this entry yet. Try again in a second, or wait for it with wait=5."
        super().__init__(503, "checkpoint_pending", detail, {"Retry-After": "1"})


def share_of_waits() -> FairShare:
    """The share of a tenant in the requests of a process that wait for a proof."""
    return FairShare("waits for proofs", WAITS, WAITS_OF_TENANT, queue=0, timeout=1)


async def prove_entry(container: Container, waits: FairShare, tenant: str, identifier: UUID, wait: int) -> Proof:
    """The proof of an entry of `tenant`. Waits up to `wait` seconds for the entry and for its checkpoint.

    Raises NotFoundError (404) when the tenant has no entry with this id, EntryExpiredError (404) when retention has
    removed it, CheckpointPendingError (503), and, if it would have to wait, what `waits` raises: ShareExceededError
    (429), CapacityExceededError (503).
    """
    try:
        return await _prove(container, tenant, identifier)
    except (NotFoundError, CheckpointPendingError):
        if not wait:
            raise
    async with waits.hold(tenant):
        return await _wait_for_proof(container, tenant, identifier, time.monotonic() + wait)


async def _wait_for_proof(container: Container, tenant: str, identifier: UUID, deadline: float) -> Proof:
    """The proof, as soon as it is there. Raises the last refusal at `deadline`, a time of the monotonic clock."""
    pause = FIRST_PAUSE
    while True:
        await asyncio.sleep(min(pause, max(deadline - time.monotonic(), 0)))
        try:
            return await _prove(container, tenant, identifier)
        except (NotFoundError, CheckpointPendingError):
            if time.monotonic() >= deadline or container.stopping.is_set():
                raise
        pause = min(GROWTH * pause, LAST_PAUSE)


async def _prove(container: Container, tenant: str, identifier: UUID) -> Proof:
    async with container.database.snapshot() as connection:
        entry = await proof_store.read_entry(connection, tenant, identifier)
        if entry is None:
            raise missing_entry(identifier, await read_pruned(connection, tenant))
        checkpoints = await checkpoint_store.read_checkpoints(connection, tenant, DEPLOYMENT_LOG)
        own, deployment = checkpoints.get(tenant), checkpoints.get(DEPLOYMENT_LOG)
        if own is None or deployment is None or own.size <= entry.sequence:
            raise CheckpointPendingError
        inclusion, salt = await prove_deployment(connection, own, deployment, container.clock())
        return Proof(
            await _include(connection, own, entry.sequence, entry.leaf),
            entry.parts,
            {name: erased.document() for name, erased in entry.erased.items()},
            inclusion,
            salt,
        )


async def prove_deployment(
    connection: Connection, own: StoredCheckpoint, deployment: StoredCheckpoint, now: datetime, least: int = 0
) -> tuple[Inclusion, bytes]:
    """The proof that the checkpoint `own` of a tenant is in the deployment log, and the salt of its leaf there.

    `deployment` is the last checkpoint of the deployment log; one with cosignatures is preferred, if it has `least`
    leaves.
    """
    if own.deployment_index is None or own.salt is None:
        raise AssertionError("the checkpoint of a tenant has a leaf in the deployment log")
    cosigned = await served_checkpoint(connection, deployment, now)
    if cosigned.size > own.deployment_index and cosigned.size >= least:
        deployment = cosigned
    index = own.deployment_index
    leaves = await tree_store.read_leaves(connection, DEPLOYMENT_LOG, index, index + 1)
    if not leaves:
        raise DamagedLogError(DEPLOYMENT_LOG)
    [leaf] = leaves
    return await _include(connection, deployment, index, leaf), own.salt


async def prove_continuation(connection: Connection, old: int, note: str) -> Consistency:
    """The proof that the checkpoint of the deployment log in `note` continues that of `old` leaves."""
    size = Checkpoint.decode(SignedNote.decode(note).text).size
    ranges = consistency_ranges(old, size) if old else []
    return Consistency(old, await tree_store.range_roots(connection, DEPLOYMENT_LOG, ranges, size))


async def _include(connection: Connection, checkpoint: StoredCheckpoint, index: int, leaf: bytes) -> Inclusion:
    """The proof of the leaf at `index` in the tree of `checkpoint`."""
    ranges = inclusion_ranges(index, checkpoint.size)
    hashes = await tree_store.range_roots(connection, checkpoint.log, ranges, checkpoint.size)
    return Inclusion(index, leaf, hashes, checkpoint.note)
