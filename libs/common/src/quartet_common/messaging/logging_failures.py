"""Failures of logging (EU 2024/1774, article 12): what keeps events from the audit log, noticed within a minute.

worker, each 5 s: each check -> a problem, or none -> the table `logging_failures`: what begins and what ends
    -> in the same transaction an event of each -> the metric, the detail of /health/ready, `./quartet status`
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from quartet_common.core.caller import Caller
from quartet_common.core.clock import Clock
from quartet_common.core.errors import ServiceError
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.stats import OutboxStats

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two checks."""
MAX_LAG = 20.0
"""Seconds that an event may wait in the outbox, and that an event that RabbitMQ has confirmed may take to its entry."""
MAX_PROBLEM = 1000
"""Characters of a problem."""

UNKNOWN = ""
"""A check that cannot tell: what was found before goes on."""
Check = Callable[[], Awaitable[str | None]]
"""The problem, None without one, or UNKNOWN. A ServiceError, such as UnavailableError, counts as UNKNOWN."""

BEGIN = """
INSERT INTO logging_failures (kind, problem) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (kind) DO NOTHING RETURNING kind, problem"""
NOTE_PROBLEMS = """
UPDATE logging_failures SET problem = new.problem FROM unnest($1::text[], $2::text[]) AS new (kind, problem)
WHERE logging_failures.kind = new.kind AND logging_failures.problem <> new.problem"""
END = "DELETE FROM logging_failures WHERE kind = ANY($1::text[]) RETURNING kind, problem, began_at"


class LoggingFailures:
    """Runs the checks of a worker, by kind. `current` has the problems of the failures that last."""

    def __init__(
        self, service: str, database: Callable[[], Database], clock: Clock, checks: Mapping[str, Check]
    ) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self._checks = checks
        self.current: Mapping[str, str] = {}
        metrics.get_meter(__name__).create_observable_gauge(
            "quartet.logging.failure", [self._observe], description="1 while logging fails, by kind"
        )

    async def run(self) -> None:
        """Run each check, and publish what has begun and ended. Raises UnavailableError without PostgreSQL."""
        found = {kind: await self._problem(kind, check) for kind, check in self._checks.items()}
        failing = {kind: problem[:MAX_PROBLEM] for kind, problem in found.items() if problem}
        working = [kind for kind, problem in found.items() if problem is None]
        async with self._database().transaction() as connection:
            events = await self._change(connection, failing, working)
            caller = Caller.service(SYSTEM_TENANT, f"quartet-{self._service}")
            await outbox.add(connection, caller, events, now=self._clock(), service=self._service)
            rows = await connection.fetch("SELECT kind, problem FROM logging_failures ORDER BY kind")
        self.current = {row["kind"]: row["problem"] for row in rows}

    async def _problem(self, kind: str, check: Check) -> str | None:
        """What a check finds."""
        try:
            return await check()
        except ServiceError as error:
            logger.warning("a check of logging failed", extra={"kind": kind, "error": str(error)})
            return UNKNOWN

    async def _change(
        self, connection: Connection, failing: Mapping[str, str], working: list[str]
    ) -> list[DomainEvent]:
        """Note which kinds fail and which do not; the events of what has begun and ended."""
        await connection.execute(NOTE_PROBLEMS, list(failing), list(failing.values()))
        begun = await connection.fetch(BEGIN, list(failing), list(failing.values()))
        ended = await connection.fetch(END, working)
        for row in begun:
            logger.error("logging fails", extra={"kind": row["kind"], "problem": row["problem"]})
        for row in ended:
            logger.warning("logging works again", extra={"kind": row["kind"]})
        return [
            *(_failed(self._service, row["kind"], row["problem"]) for row in begun),
            *(_recovered(self._service, row["kind"], row["problem"], row["began_at"]) for row in ended),
        ]

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(kind in self.current), {"kind": kind}) for kind in self._checks]


def _failed(service: str, kind: str, problem: str) -> DomainEvent:
    return DomainEvent(f"{service}.logging.failed.v1", f"logging/{kind}", 1, {"kind": kind, "problem": problem})


def _recovered(service: str, kind: str, problem: str, began: datetime) -> DomainEvent:
    data = {"kind": kind, "problem": problem, "failedAt": began.isoformat()}
    return DomainEvent(f"{service}.logging.recovered.v1", f"logging/{kind}", 1, data)


def outbox_check(stats: OutboxStats) -> Check:
    """Whether the outbox drains, as measured last."""

    async def check() -> str | None:
        state = stats.state
        if state.lag <= MAX_LAG:
            return None
        return f"{state.depth} events wait in the outbox, the oldest for {state.lag:.0f} s"

    return check
