"""The webhook of QUARTET_CHECKPOINT_WEBHOOK: gets the last checkpoint of the deployment log, as a signed note.

A schedule of its own: a receiver that is slow or down delays no signature. It is tried again with the checkpoint that
is the last one by then.
"""

import asyncio
import logging
import time

import httpx
from opentelemetry import metrics

from quartet_audit.checkpoints import checkpoint_store
from quartet_audit.config import AuditConfig
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG
from quartet_audit.witnesses.witness_client import open_client
from quartet_common.runtime.container import AppContainer

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two looks for a new checkpoint."""
TIMEOUT = 5.0
"""Seconds for a request."""
MAX_PAUSE = 60.0
"""Seconds after which a webhook that fails is tried again at the latest."""
CONTENT_TYPE = "text/plain; charset=utf-8"


class CheckpointWebhook:
    """Posts the last checkpoint of the deployment log; `run` is a schedule of the worker."""

    def __init__(self, container: AppContainer[AuditConfig]) -> None:
        self._container = container
        self._url = container.config.checkpoint_webhook
        self._delivered: str | None = None
        self._failures = 0
        self._due = 0.0
        self._client: httpx.AsyncClient | None = None
        self._counter = metrics.get_meter("quartet_audit.webhook").create_counter(
            "quartet.audit.webhook.posts", description="checkpoints posted to QUARTET_CHECKPOINT_WEBHOOK by result"
        )

    async def run(self) -> None:
        """Post the last checkpoint unless it was delivered. Raises UnavailableError without PostgreSQL."""
        if self._url is None or time.monotonic() < self._due:
            return
        async with self._container.database.connection() as connection:
            last = (await checkpoint_store.read_checkpoints(connection, DEPLOYMENT_LOG)).get(DEPLOYMENT_LOG)
        if last is None or last.note == self._delivered:
            return
        problem = await self._post(self._url, last.note)
        self._counter.add(1, {"result": "failed" if problem else "delivered"})
        if problem is None:
            self._delivered, self._failures, self._due = last.note, 0, 0.0
            return
        self._failures += 1
        self._due = time.monotonic() + min(MAX_PAUSE, 2.0 ** (self._failures - 1))
        if self._failures == 1:
            logger.warning("the checkpoint webhook does not take a checkpoint", extra={"problem": problem})

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
