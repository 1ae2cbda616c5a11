"""A steady load: reads and writes at a fixed rate until it is ended; it remembers each request that failed."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from quartet_testing.client import GROUPS, USERS, Api, Document, group_document, patch_document, user_document

PERIOD = 10
"""Of so many requests one creates a user, one changes a user, one creates a group of users, and the others read."""
LATEST = 20
AT_ONCE = 8
"""Requests that may run: on a loaded machine the rate falls, and nothing is refused because of it."""


class SteadyLoad:
    """Sends `rate` requests a second through `apis` in turn, at most AT_ONCE of them at a time."""

    def __init__(self, apis: Sequence[Api], rate: float) -> None:
        self.created: list[Document] = []
        self.failed: list[str] = []
        self.answered = 0
        self.slowest = 0.0
        self._apis = apis
        self._rate = rate
        self._free = asyncio.Semaphore(AT_ONCE)
        self._sender: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self.created.append(await self._apis[0].create_user())
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sender.cancel()
        await asyncio.wait([self._sender])

    async def reached(self, number: int) -> bool:
        """Whether so many requests were answered."""
        return self.answered >= number

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        number, due = 0, loop.time()
        async with asyncio.TaskGroup() as sent:
            try:
                while True:
                    number += 1
                    await self._free.acquire()
                    sent.create_task(self._one(number))
                    due = max(due + 1 / self._rate, loop.time() - 1)  # what was late for a second is not made up for
                    await asyncio.sleep(due - loop.time())
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()  # type: ignore[union-attr]  # a task runs this; those of it finish

    async def _one(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            answer = await self._request(self._apis[number % len(self._apis)], number)
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return
        finally:
            self._free.release()
        self.slowest = max(self.slowest, loop.time() - begun)
        self.answered += 1
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            self.failed.append(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
        elif answer.request.method == "POST" and answer.url.path == USERS:
            self.created.append(answer.json())

    async def _request(self, api: Api, number: int) -> httpx.Response:
        user = self.created[-1 - number % min(len(self.created), LATEST)]["id"]
        if number % PERIOD == 0:
            return await api.post(USERS, json=user_document())
        if number % PERIOD == 1:
            change = {"op": "replace", "path": "title", "value": f"{number}"}
            return await api.patch(f"{USERS}/{user}", json=patch_document(change))
        if number % PERIOD == 2:
            return await api.post(GROUPS, json=group_document([user]))
        return await api.get(f"{USERS}/{user}")
