"""The webhook of QUARTET_CHECKPOINT_WEBHOOK: gets each checkpoint of the deployment log, as a signed note, in order.

The signer stores them in its transaction, and each waits until the receiver has taken it. A schedule of its own: a
receiver that is slow or down delays no signature.
"""

import asyncio
import logging
import time

import httpx
from opentelemetry import metrics

from quartet_audit.checkpoints import waiting_checkpoint_store
from quartet_audit.config import AuditConfig
from quartet_audit.witnesses.witness_client import open_client
from quartet_common.runtime.container import AppContainer

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two looks for new checkpoints."""
TIMEOUT = 5.0
"""Seconds for a request."""
MAX_PAUSE = 60.0
"""Seconds after which a webhook that fails is tried again at the latest."""
CONTENT_TYPE = "text/plain; charset=utf-8"


class CheckpointWebhook:
    """Posts the checkpoints that wait; `run` is a schedule of the worker."""

    def __init__(self, container: AppContainer[AuditConfig]) -> None:
        self._container = container
        self._url = container.config.checkpoint_webhook
        self._failures = 0
        self._due = 0.0
        self._client: httpx.AsyncClient | None = None
        self._counter = metrics.get_meter("quartet_audit.webhook").create_counter(
            "quartet.audit.webhook.posts", description="checkpoints posted to QUARTET_CHECKPOINT_WEBHOOK by result"
        )

    async def run(self) -> None:
        """Post the checkpoints that wait until one is not taken. Raises UnavailableError without PostgreSQL."""
        if self._url is None or time.monotonic() < self._due:
            return
        while await self._deliver(self._url):
            pass

    async def _deliver(self, url: str) -> bool:
        """Post the oldest checkpoint; False if none waits, another worker delivers, or it was not taken.

        The transaction stays open for up to TIMEOUT: its lock has one worker deliver, so that the order is kept.
        """
        async with self._container.database.transaction() as connection:
            if not await waiting_checkpoint_store.try_lock(connection):
                return False
            first = await waiting_checkpoint_store.read_first(connection)
            if first is None:
                return False
            problem = await self._post(url, first.note)
            if problem is None:
                await waiting_checkpoint_store.remove_waiting(connection, first.size)
            else:
                self._report_dropped(await waiting_checkpoint_store.prune(connection))
        self._counter.add(1, {"result": "failed" if problem else "delivered"})
        if problem is None:
            self._failures, self._due = 0, 0.0
            return True
        self._failures += 1
        self._due = time.monotonic() + min(MAX_PAUSE, 2.0 ** (self._failures - 1))
        if self._failures == 1:
            logger.warning("the checkpoint webhook does not take a checkpoint", extra={"problem": problem})
        return False

    def _report_dropped(self, dropped: int) -> None:
        if dropped:
            logger.error("the checkpoint webhook takes none, so the oldest were left out", extra={"dropped": dropped})
            self._counter.add(dropped, {"result": "dropped"})

    async def _post(self, url: str, note: str) -> str | None:
        """The problem, or None if the receiver has answered with a status of 200 to 299."""
        self._client = self._client or open_client()
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._client.stream(
                    "POST", url, content=note.encode(), headers={"Content-Type": CONTENT_TYPE}
                ) as answer,
            ):
                return None if answer.is_success else f"it answers {answer.status_code}"
        except (httpx.HTTPError, TimeoutError) as error:
            return f"it does not answer: {type(error).__name__}"
