"""Signs checkpoints: of each tenant's log that has grown, and of the deployment log that has a leaf for each of them.

worker, each half second, in one transaction (an advisory lock: one worker at a time):
    logs that differ from their checkpoints (changed_logs.py) -> their new leaves -> the frontier to sign, or a refusal
    -> a signed checkpoint of each -> a leaf of the deployment log for each -> the checkpoint of the deployment log
    -> which waits for the webhook, if there is one
after the commit: the file of QUARTET_CHECKPOINT_FILE
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from datetime import datetime

from opentelemetry import metrics

from quartet_audit.checkpoints import checkpoint_store, waiting_checkpoint_store
from quartet_audit.checkpoints.changed_logs import ChangedLogs
from quartet_audit.checkpoints.checkpoint_domain import (
    SALT_BYTES,
    Checkpoint,
    Signers,
    deployment_leaf,
    deployment_origin,
    frontier_to_sign,
    is_checkpoint_of,
    tenant_origin,
)
from quartet_audit.checkpoints.checkpoint_file import CheckpointFileError, read_checkpoint_file, write_checkpoint_file
from quartet_audit.checkpoints.checkpoint_store import StoredCheckpoint
from quartet_audit.checkpoints.grown_logs import GrownLogs
from quartet_audit.checkpoints.signing_key_usecases import SigningKeys
from quartet_audit.config import AuditConfig
from quartet_audit.leaves.leaf_domain import microseconds
from quartet_audit.note_domain import SignedNote
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import Frontier
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG, DamagedLogError
from quartet_common.auth.sealing import WrongMasterKeyError
from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two runs; a checkpoint is signed at most 1 s after an append."""
MAX_LOGS = 2000
"""Logs that one transaction signs."""
MAX_LEAVES = 5_000
"""Leaves that one transaction reads, shared equally among the logs that grew; a log with more is signed in steps."""


class RefusedLogError(Exception):
    """The deployment log is not what was signed before: a checkpoint of it now would be a fork."""


class CheckpointSigner:
    """Signs the logs of this installation; `run` is a schedule of the worker.

    It remembers the last checkpoint of the deployment log that it has signed, and that of the file. A log that is
    smaller than what was signed, or differs from it, is not signed: readiness, an error and a metric say so.
    """

    def __init__(self, container: AppContainer[AuditConfig]) -> None:
        config = container.config
        self._container = container
        self._keys = SigningKeys(config.master_key.get_secret_value())
        self.witnessed_size = 0
        """The leaves of a deployment log larger than ours that a witness knows."""
        self._remembered: Checkpoint | None = None
        self._has_read_file = config.checkpoint_file is None
        self._changed = ChangedLogs(container.shared(GrownLogs))
        self._refused: frozenset[str] = frozenset()
        self._problem: str | None = None
        self._refusals = metrics.get_meter("quartet_audit.checkpoints").create_counter(
            "quartet.audit.checkpoints.refused", description="logs whose tree does not match their last checkpoint"
        )

    async def run(self) -> None:
        """Sign the logs that have grown, up to MAX_LOGS at a time. Raises UnavailableError without PostgreSQL."""
        try:
            while await self._sign_some():
                pass
            self._problem = None
        except (RefusedLogError, CheckpointFileError, WrongMasterKeyError) as error:
            if str(error) != self._problem:
                logger.error("checkpoints are not signed", extra={"problem": str(error)})
                self._refusals.add(1)
            self._problem = str(error)

    async def check(self) -> bool:
        """For readiness. Raises UnavailableError if a log is not signed."""
        problem = self._problem
        if problem is None and self._refused:
            problem = f"logs do not match their last checkpoints: {', '.join(sorted(self._refused)[:10])}"
        if problem is not None:
            raise UnavailableError("checkpoints", problem=problem)
        return True

    async def _sign_some(self) -> bool:
        """Sign up to MAX_LOGS logs; returns whether some were signed at a size in between."""
        async with self._container.database.transaction() as connection:
            if not await checkpoint_store.try_lock(connection):
                return False
            deployment = await self._deployment_frontier(connection)
            changed = await self._changed.read(connection, MAX_LOGS)
            has_all = len(changed) < MAX_LOGS
            if not changed:
                self._refused = frozenset()
                self._changed.done(has_all=True, again=())
                return False
            share = max(1, MAX_LEAVES // len(changed))
            added = await checkpoint_store.read_added_leaves(connection, changed, share)
            frontiers = {
                log.log: frontier_to_sign(log.frontier, log.signed, log.note, added[log.log], share) for log in changed
            }
            self._report_refused(frozenset(log for log, frontier in frontiers.items() if frontier is None))
            grown = {log: frontier for log, frontier in frontiers.items() if frontier is not None}
            partly = {log.log for log in changed if log.log in grown and grown[log.log].size < log.frontier.size}
            note = await self._sign(connection, deployment, grown) if grown else None
        self._changed.done(has_all=has_all, again=self._refused | partly)
        if note is not None:
            await self._remember(note)
        return bool(partly)

    async def _deployment_frontier(self, connection: Connection) -> Frontier:
        """The frontier of the deployment log. Raises RefusedLogError if it is not what was signed before."""
        frontier = await tree_store.get_frontier(connection, DEPLOYMENT_LOG) or Frontier()
        if not self._has_read_file and self._container.config.checkpoint_file is not None:
            self._remembered = await asyncio.to_thread(read_checkpoint_file, self._container.config.checkpoint_file)
            self._has_read_file = True
        if self._container.config.accept_log_size == frontier.size:
            return frontier
        last = (await checkpoint_store.read_checkpoints(connection, DEPLOYMENT_LOG)).get(DEPLOYMENT_LOG)
        if (Frontier() if last is None else last.frontier) != frontier or (
            last is not None and not is_checkpoint_of(last.frontier, last.note)
        ):
            raise RefusedLogError(_refusal(frontier.size, "does not match its last checkpoint"))
        await self._compare_remembered(connection, frontier)
        return frontier

    async def _compare_remembered(self, connection: Connection, frontier: Frontier) -> None:
        accepted = self._container.config.accept_log_size
        if self.witnessed_size > frontier.size and (accepted is None or frontier.size < accepted):
            raise RefusedLogError(
                _refusal(frontier.size, f"is older than what a witness knows, {self.witnessed_size} leaves")
            )
        known = self._remembered
        if known is None:
            return
        if known.size > frontier.size:
            raise RefusedLogError(_refusal(frontier.size, f"is older than a checkpoint of {known.size} leaves"))
        if known.size == frontier.size:
            root = frontier.root()
        else:
            try:
                [root] = await tree_store.range_roots(connection, DEPLOYMENT_LOG, [(0, known.size)], known.size)
            except DamagedLogError:
                root = b""
        if root != known.root:
            raise RefusedLogError(_refusal(frontier.size, f"does not contain the checkpoint of {known.size} leaves"))

    async def _sign(self, connection: Connection, deployment: Frontier, grown: dict[str, Frontier]) -> str:
        """Store the checkpoints of `grown`, with their leaves of the deployment log, and its checkpoint: the result."""
        now = self._container.clock()
        signers = await self._keys.read_signers(connection, now)
        if not signers.ed25519 or not signers.ml_dsa_44:
            raise RefusedLogError(f"no signing key is valid at {now.isoformat()}: set the clock of PostgreSQL right")
        url = self._container.config.public_url
        signed, leaves = await asyncio.to_thread(_sign_tenants, signers, url, grown, deployment.size, now)
        await tree_store.lock_logs(connection, [DEPLOYMENT_LOG])
        frontier = await checkpoint_store.append_to_deployment_log(connection, deployment, leaves)
        checkpoint = Checkpoint(deployment_origin(url), frontier.size, frontier.root())
        note = signers.sign_deployment(checkpoint, now).encode()
        last = StoredCheckpoint(DEPLOYMENT_LOG, frontier, note, now)
        await checkpoint_store.store_checkpoints(connection, [*signed, last])
        if self._container.config.checkpoint_webhook is not None:
            await waiting_checkpoint_store.add_waiting(connection, frontier.size, note)
        return note

    async def _remember(self, note: str) -> None:
        self._remembered = Checkpoint.decode(SignedNote.decode(note).text)
        if self._container.config.checkpoint_file is not None:
            await asyncio.to_thread(write_checkpoint_file, self._container.config.checkpoint_file, note)

    def _report_refused(self, refused: frozenset[str]) -> None:
        new = refused - self._refused
        if new:
            logger.error("logs do not match their last checkpoints", extra={"logs": sorted(new)[:100]})
            self._refusals.add(len(new))
        self._refused = refused


def _refusal(size: int, problem: str) -> str:
    return (
        f"the deployment log of {size} leaves {problem}: PostgreSQL was restored to an older state, or changed. "
        f"Restore the newest backup; to go on from this state, set QUARTET_ACCEPT_LOG_SIZE={size}"
    )


def _sign_tenants(
    signers: Signers, public_url: str, grown: dict[str, Frontier], start: int, now: datetime
) -> tuple[Sequence[StoredCheckpoint], Sequence[bytes]]:
    """The checkpoints of the logs of tenants, and the leaves of the deployment log for them, from index `start`."""
    signed, leaves = [], []
    time, salts = microseconds(now), os.urandom(SALT_BYTES * len(grown))
    for number, (log, frontier) in enumerate(grown.items()):
        note: SignedNote = signers.sign(Checkpoint(tenant_origin(public_url, log), frontier.size, frontier.root()))
        salt = salts[SALT_BYTES * number : SALT_BYTES * (number + 1)]
        signed.append(StoredCheckpoint(log, frontier, note.encode(), now, start + number, salt))
        leaves.append(deployment_leaf(start + number, time, salt, note.text))
    return signed, leaves
