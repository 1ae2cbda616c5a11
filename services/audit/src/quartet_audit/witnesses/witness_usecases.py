"""Has witnesses cosign the last checkpoint of the deployment log: all that are due at the same time, each second.

The cosignatures of one round are of one checkpoint. A witness that does not answer is asked again later and later; it
delays neither the others nor the signing of checkpoints.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from opentelemetry import metrics

from quartet_audit.checkpoints import checkpoint_store
from quartet_audit.checkpoints.checkpoint_store import StoredCheckpoint
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.config import AuditConfig, Witness
from quartet_audit.note_domain import MalformedNoteError, NoteSignature, VerifierKey
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import consistency_ranges
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG, DamagedLogError
from quartet_audit.witnesses.witness_client import WitnessAnswer, add_checkpoint, open_client
from quartet_audit.witnesses.witness_domain import (
    add_checkpoint_body,
    read_cosignatures,
    read_known_size,
    with_cosignatures,
)
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.container import AppContainer

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two rounds."""
TIMEOUT = 2.0
"""Seconds for a request: a slow witness has no cosignature of this checkpoint, and those of the others count."""
MAX_PAUSE = 60.0
"""Seconds after which a witness that fails is asked again at the latest."""
ATTEMPTS = 2
"""Requests to a witness in one round: the first may be answered with the size that the witness knows."""


@dataclass
class WitnessState:
    """What this process knows of a witness: the size that it has cosigned, and when it is asked next."""

    witness: Witness
    key: VerifierKey
    size: int = 0
    has_cosigned: bool = False
    failures: int = 0
    due: float = 0.0
    fork: str | None = None
    ahead: int = 0
    """The size that it knows, while that is larger than ours."""

    def fail(self, problem: str) -> None:
        """Ask again later: after 1 s, then after twice as long each time."""
        self.failures += 1
        self.due = time.monotonic() + min(MAX_PAUSE, 2.0 ** (self.failures - 1))
        if self.failures == 1:
            logger.warning("a witness does not cosign", extra={"witness": self.key.name, "problem": problem})

    def succeed(self, size: int) -> None:
        """It has cosigned the tree of `size` leaves."""
        self.size, self.has_cosigned, self.failures, self.due, self.fork, self.ahead = size, True, 0, 0.0, None, 0


class Witnesses:
    """The witnesses of QUARTET_WITNESSES; `run` is a schedule of the worker."""

    def __init__(self, container: AppContainer[AuditConfig], signer: CheckpointSigner) -> None:
        self._container = container
        self._signer = signer
        self._states = [WitnessState(one, VerifierKey.decode(one.vkey)) for one in container.config.witnesses]
        self._client: httpx.AsyncClient | None = None
        self._counter = metrics.get_meter("quartet_audit.witnesses").create_counter(
            "quartet.audit.witness.answers", description="answers of witnesses by result"
        )

    async def run(self) -> None:
        """Ask the witnesses that are due to cosign the last checkpoint. Raises UnavailableError without PostgreSQL."""
        now = time.monotonic()
        due = [state for state in self._states if state.due <= now]
        last = await self._read_last() if due else None
        if last is None:
            return
        asked = [state for state in due if not state.has_cosigned or state.size != last.size]
        answers = await asyncio.gather(*(self._ask(state, last) for state in asked))
        self._signer.witnessed_size = max((state.ahead for state in self._states), default=0)
        cosignatures = [one for answer in answers for one in answer]
        if cosignatures:
            await self._store(last, cosignatures)

    async def check(self) -> bool:
        """For readiness. Raises UnavailableError if a witness has seen another history than ours."""
        forks = [state.fork for state in self._states if state.fork is not None]
        if forks:
            raise UnavailableError("witnesses", problem="; ".join(forks))
        return True

    async def _read_last(self) -> StoredCheckpoint | None:
        async with self._container.database.connection() as connection:
            return (await checkpoint_store.read_checkpoints(connection, DEPLOYMENT_LOG)).get(DEPLOYMENT_LOG)

    async def _ask(self, state: WitnessState, last: StoredCheckpoint) -> list[NoteSignature]:
        """The cosignatures of one witness; none if it fails."""
        try:
            for _ in range(ATTEMPTS):
                answer = await self._submit(state, last)
                known = read_known_size(answer.body) if answer.status == 409 else None
                if known is None or known > last.size:
                    return await self._take(state, last, answer, known)
                state.size, state.ahead = known, 0
            raise MalformedNoteError("its size changed in the meantime")
        except (UnavailableError, MalformedNoteError, DamagedLogError) as error:
            self._count(state, "failed")
            state.fail(str(error))
            return []

    async def _submit(self, state: WitnessState, last: StoredCheckpoint) -> WitnessAnswer:
        body = add_checkpoint_body(state.size, await self._prove(state.size, last.size), last.note)
        self._client = self._client or open_client()
        try:
            async with asyncio.timeout(TIMEOUT):
                return await add_checkpoint(self._client, state.witness.url, body)
        except TimeoutError as error:
            raise UnavailableError(state.witness.url, problem=f"does not answer within {TIMEOUT} s") from error

    async def _take(
        self, state: WitnessState, last: StoredCheckpoint, answer: WitnessAnswer, known: int | None
    ) -> list[NoteSignature]:
        """The cosignatures in the final answer of a witness. Raises MalformedNoteError if there are none."""
        if known is not None:
            newest = await self._read_last()
            if newest is None or known > newest.size:
                state.ahead = known
                self._report_fork(
                    state, f"{state.key.name} knows {known} leaves of the deployment log, ours has {last.size}"
                )
            return []
        if answer.status == 422:
            self._report_fork(state, f"{state.key.name} knows another history of the deployment log than ours")
            return []
        if answer.status != 200:
            raise MalformedNoteError(f"it answers {answer.status}: {answer.body[:200].decode('utf-8', 'replace')!r}")
        found = read_cosignatures(answer.body, last.note, state.key)
        self._count(state, "cosigned")
        state.succeed(last.size)
        return found

    def _report_fork(self, state: WitnessState, problem: str) -> None:
        if state.fork is None:
            logger.error("a witness has seen another history", extra={"witness": state.key.name, "problem": problem})
        self._count(state, "fork")
        state.fail(problem)
        state.fork = problem

    def _count(self, state: WitnessState, result: str) -> None:
        self._counter.add(1, {"witness": state.key.name, "result": result})

    async def _prove(self, old: int, size: int) -> list[bytes]:
        """The consistency proof; none if the witness, asked with its own size, is ahead and answers 409."""
        ranges = consistency_ranges(old, size) if 0 < old <= size else []
        if not ranges:
            return []
        async with self._container.database.connection() as connection:
            return await tree_store.range_roots(connection, DEPLOYMENT_LOG, ranges, size)

    async def _store(self, last: StoredCheckpoint, cosignatures: Sequence[NoteSignature]) -> None:
        """Store `last` with its cosignatures, unless a newer one is stored, and with those that it has already."""
        async with self._container.database.transaction() as connection:
            await checkpoint_store.lock_cosigned(connection)
            stored = await checkpoint_store.read_cosigned(connection)
            if stored is not None and stored.signed_at > last.signed_at:
                return
            note = stored.note if stored is not None and stored.frontier == last.frontier else last.note
            cosigned = last._replace(note=with_cosignatures(note, cosignatures))
            await checkpoint_store.store_cosigned(connection, cosigned)
