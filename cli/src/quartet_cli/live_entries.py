"""Follows the live tail of an audit log (Server-Sent Events), also over lost connections."""

import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from quartet_cli import api_client
from quartet_cli.api import Api

PATH: Final = "/audit/events/live"
BEGIN: Final = re.compile(r": the log from (\d+)")
PAUSE: Final = 1.0
"""Seconds before a lost connection is opened again."""
PASSING: Final = (429, 502, 503, 504)
"""Statuses of a server that restarts or is busy."""


class Tail:
    """The live tail of a log; `last` is the sequence number up to which entries are known."""

    def __init__(self, api: Api, filters: dict[str, str], after: int | None = None) -> None:
        self._api = api
        self._filters = filters
        self._is_open = False
        self.last = after

    def follow(self) -> Iterator[dict[str, Any]]:
        """The entries that are recorded from now on, or after `last`. The first connection must succeed; lost ones are
        opened again without a gap. Raises QuartetError.
        """
        import httpx  # see api_client

        while True:
            try:
                yield from self._connection()
            except httpx.HTTPError as error:
                if not self._is_open:
                    raise api_client.no_answer(self._api.url, error) from error
            time.sleep(PAUSE)

    def _connection(self) -> Iterator[dict[str, Any]]:
        headers = {} if self.last is None else {"Last-Event-ID": str(self.last)}
        with self._api.stream(PATH, self._filters, headers) as answer:
            if answer.status_code == 200:
                self._is_open = True
                yield from self.read(answer.iter_lines())
            elif not (self._is_open and answer.status_code in PASSING):
                raise api_client.error_of(answer.status_code, json.loads(answer.read()))

    def read(self, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The entries in the lines of a stream, whose ids count only when their event has arrived."""
        identifier = self.last
        for line in lines:
            if line.startswith("id:"):
                identifier = int(line.removeprefix("id:"))
            elif (begin := BEGIN.match(line)) and self.last is None and int(begin[1]):
                self.last = identifier = int(begin[1]) - 1
            elif line.startswith("data:") and "sequence" in (found := json.loads(line.removeprefix("data:"))):
                self.last = found["sequence"]
                yield found
            elif not line:
                self.last = identifier
