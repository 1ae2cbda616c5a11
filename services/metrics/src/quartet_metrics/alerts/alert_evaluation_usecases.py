"""The evaluation of alert rules: a schedule of the worker; the result of a rule and its events are one transaction.

worker, each second: claim rules that are due -> ask the engine -> check that it had everything -> in one transaction
    the rule, if no other worker has evaluated it meanwhile, its alerts, and an event of each that fires or is resolved
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from quartet_common.core.caller import Caller
from quartet_common.core.errors import ServiceError, UnavailableError
from quartet_common.core.fair_share import ShareExceededError
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.core.schedule import Schedule
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_metrics.alerts import alert_store, rule_store
from quartet_metrics.alerts.alert_domain import Found, evaluate
from quartet_metrics.alerts.alert_events import CONDITION, alert_fired, alert_resolved
from quartet_metrics.alerts.rule_domain import INTERVAL, Rule
from quartet_metrics.alerts.rule_usecases import Container, find_series
from quartet_metrics.engine.engine_client import engine_unavailable
from quartet_metrics.engine.engine_domain import MARK, SETTLED
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 1.0
"""Seconds between two looks for rules that are due."""
BATCH = 8
"""Rules that a worker evaluates at a time."""
LEASE = timedelta(seconds=30)
"""Until another worker evaluates a rule whose worker has ended: longer than a query takes."""
MARK_AGE = timedelta(seconds=150)
"""The writer of the engine writes the mark each minute, after the values of all series."""


class AlertEvaluator:
    """Evaluates the rules that are due. Without a result of the engine, alerts keep their states."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._queries = PrometheusQueries(container)
        self._caller = container.config.client_id
        self._problem: str | None = None
        self._lag = 0.0
        meter = metrics.get_meter("quartet_metrics.alerts")
        self._evaluations = meter.create_counter("quartet.alerts.evaluations", description="evaluated alert rules")
        meter.create_observable_gauge(
            "quartet.alerts.lag", [self._observe], unit="s", description="since when an alert rule waits"
        )
        for result in ("ok", "failed"):
            self._evaluations.add(0, {"result": result})  # exported from the start

    async def run(self) -> None:
        """Evaluate all rules that are due."""
        if self._container.config.metrics_engine_url is None:
            return
        try:
            while await self._evaluate_batch():
                pass
            problem = None
        except UnavailableError as error:
            problem = error.detail
        if problem != self._problem and problem is not None:
            logger.warning("alert rules are not evaluated", extra={"problem": problem})
        self._problem = problem

    async def _evaluate_batch(self) -> bool:
        """Evaluate some rules; False if none is due. Raises UnavailableError without a filled engine."""
        now = self._container.clock()
        async with self._container.database.connection() as connection:
            first = await rule_store.read_first_due(connection)
            self._lag = 0.0 if first is None else max(0.0, (now - first).total_seconds())
            if self._lag == 0.0:
                return False
        await self._require_filled(now)
        async with self._container.database.statement() as connection:
            rules = await rule_store.claim_rules(connection, now, now + LEASE, BATCH)
        await asyncio.gather(*(self._evaluate_claimed(rule) for rule in rules))
        return bool(rules)

    async def _evaluate_claimed(self, rule: Rule) -> None:
        """Evaluate one rule; a failure leaves it due, and its lease to end."""
        try:
            await self.evaluate(rule)
        except Exception as error:
            details = {"rule": str(rule.id), "error": str(error)}
            has_trace = not isinstance(error, ServiceError)
            logger.warning("an alert rule was not evaluated", extra=details, exc_info=has_trace)

    async def evaluate(self, rule: Rule) -> None:
        """Evaluate a rule, and store its alerts with their events; nothing if it was changed or evaluated meanwhile.

        Raises UnavailableError, ShareExceededError: the rule has no result.
        """
        now, found, problem = self._container.clock(), list[Found](), None
        try:
            found = await find_series(self._queries, rule.tenant, rule.definition, now)
        except (UnavailableError, ShareExceededError):
            raise
        except ServiceError as error:  # of this expression: shown at the rule
            problem = error.detail
        filled_at = await self._require_filled(now)
        if await self._store(rule, now, found, problem, filled_at):
            self._evaluations.add(1, {"result": "ok" if problem is None else "failed"})

    async def _store(
        self, rule: Rule, now: datetime, found: list[Found], problem: str | None, filled_at: datetime
    ) -> bool:
        async with unit_of_work(self._container, Caller.service(rule.tenant, self._caller)) as work:
            if not await rule_store.hold_claimed(work.connection, rule):
                return False
            if await rule_store.is_rewritten(work.connection, rule.tenant, work.now(), now - SETTLED):
                return False
            await rule_store.note_evaluation(work.connection, rule, now, problem, now + INTERVAL)
            if problem is None:
                alerts = await alert_store.read_alerts_of(work.connection, rule.tenant, rule.id)
                outcome = evaluate(rule.definition, alerts, found, now, filled_at)
                await alert_store.store_alerts(work.connection, rule.tenant, rule.id, outcome.alerts)
                work.publish([alert_fired(rule, one) for one in outcome.fired])
                work.publish([alert_resolved(rule, one, now, CONDITION) for one in outcome.resolved])
            return True

    async def _require_filled(self, now: datetime) -> datetime:
        """When all series were written that the engine had at `now`. Raises UnavailableError if that is too long ago:
        an engine that is new, has lost its data, or has just come back finds nothing, which must not resolve alerts.
        It has everything if it has a mark that was old enough to be visible at `now`, and not older than MARK_AGE.
        """
        window, end = int((MARK_AGE - SETTLED).total_seconds()), (now - SETTLED).timestamp()
        asked = {"query": f"tlast_over_time({MARK}[{window}s])", "time": f"{end:.3f}"}
        body = await self._queries.evaluate(SYSTEM_TENANT, "query", asked)
        result = msgspec.json.decode(body)["data"]["result"]
        if not result:
            raise engine_unavailable("is being filled")
        return datetime.fromtimestamp(float(result[0]["value"][1]), UTC)

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._lag)]


def evaluating(container: Container) -> Schedule:
    """The schedule by which a worker evaluates alert rules."""
    return Schedule("alerts", LOOK_INTERVAL, AlertEvaluator(container).run)
