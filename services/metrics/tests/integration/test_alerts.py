"""Alerts on the real engine: rules over HTTP, states, events exactly once, and no false end of an alert."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.errors import UnavailableError
from quartet_common.messaging.envelope import Event
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.tenant_deletion import Erasure
from quartet_metrics.alerts import rule_store
from quartet_metrics.alerts.alert_evaluation_usecases import LEASE, AlertEvaluator
from quartet_metrics.alerts.rule_domain import INTERVAL, LATE, MAX_RULES, Rule
from quartet_metrics.engine.engine_client import EngineClient
from quartet_metrics.engine.engine_domain import SETTLED, mark
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

SECOND = timedelta(seconds=1)
RULES = "/metrics/alerts/rules"
FIRED, RESOLVED = "metrics.alert.fired", "metrics.alert.resolved"
RULE: dict[str, Any] = {"name": "Waiting", "expr": "waiting > 5", "annotations": {"summary": "{{ $value }} wait"}}
SLOW = timedelta(milliseconds=1)
REWRITTEN = "INSERT INTO engine_rewritten (tenant_id, rewritten_at) VALUES ($1, $2)"
LEFT = """
SELECT (SELECT count(*) FROM alert_rules WHERE tenant_id = $1) + (SELECT count(*) FROM alerts WHERE tenant_id = $1)
    + (SELECT count(*) FROM engine_rewritten WHERE tenant_id = $1)"""
HOURS = count(1)
"""Each tenant of these tests has an hour of its own: all have the mark of the engine in common."""


class Alerting:
    """A tenant with alert rules, at times of its own; its series are written without PostgreSQL."""

    def __init__(self, metrics: RunningService) -> None:
        self.metrics = metrics
        self.tenant = new_tenant()
        self.now = datetime.now(UTC).replace(microsecond=0) + next(HOURS) * timedelta(hours=1)
        self.evaluator = AlertEvaluator(metrics.container)
        self.engine = EngineClient(metrics.container.config, lambda: metrics.container.http)

    async def pass_time(self, passed: timedelta, *, has_mark: bool = True, **values: int) -> None:
        """Let time pass. At its end the engine has these values of `waiting` by queue, and the mark of its writer."""
        self.now += passed
        at = self.now - SETTLED - SECOND
        lines = [line(self.tenant, queue, value, at) for queue, value in values.items()]
        await self.engine.write(b"\n".join([*lines, *([mark(at)] if has_mark else [])]))
        await self.flush()

    async def flush(self) -> None:
        """Have the engine show at once what was written, instead of within a second."""
        config = self.metrics.container.config
        auth = ("quartet", config.metrics_engine_password.get_secret_value())
        flushed = await self.metrics.container.http.get(f"{config.metrics_engine_url}/internal/force_flush", auth=auth)
        assert flushed.is_success

    async def request(self, method: str, path: str, body: Any = None, *scopes: str) -> Any:
        """Status and JSON of a response."""
        headers = self.metrics.tokens.headers(self.tenant, scopes or ("metrics:read", "alerts:manage"))
        response = await self.metrics.client.open(path, method=method, headers=headers, json=body)
        text = await response.get_data(as_text=True)
        return response.status_code, json.loads(text) if text else None

    async def create(self, **changes: Any) -> str:
        status, made = await self.request("POST", RULES, {**RULE, **changes})
        assert status == 201, made
        return str(made["id"])

    async def rule(self, identifier: str) -> Rule:
        async with self.metrics.container.database.connection() as connection:
            found = await rule_store.get_rule(connection, self.tenant, UUID(identifier))
        assert found is not None
        return found

    async def evaluate(self, identifier: str) -> None:
        await self.evaluator.evaluate(await self.rule(identifier))

    async def states(self) -> dict[str, str]:
        """The states of the alerts by queue."""
        _, found = await self.request("GET", "/metrics/alerts")
        return {one["labels"].get("queue", ""): one["state"] for one in found["alerts"]}

    async def events(self, *actions: str) -> list[Event]:
        return [one for one in await self.metrics.outbox(self.tenant) if one.action in (actions or (FIRED, RESOLVED))]

    async def counts(self) -> dict[str, int]:
        return Counter(one.action.rpartition(".")[2] for one in await self.events())


def line(tenant: str, queue: str, value: int, at: datetime) -> bytes:
    metric = {"__name__": "waiting", "tenant": tenant, "queue": queue}
    return json.dumps({"metric": metric, "values": [value], "timestamps": [round(at.timestamp() * 1000)]}).encode()


@pytest.fixture
def alerting(metrics: RunningService, engine: str, monkeypatch: pytest.MonkeyPatch) -> Alerting:
    made = Alerting(metrics)
    monkeypatch.setattr(metrics.container, "clock", lambda: made.now)
    return made


async def test_an_alert_is_pending_fires_once_and_is_resolved_once(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9, b=1)
    rule = await alerting.create(**{"for": "30s", "severity": "critical", "labels": {"team": "x"}})
    for passed, states, counts in (
        (0, {"a": "pending"}, {}),
        (15, {"a": "pending"}, {}),
        (15, {"a": "firing"}, {"fired": 1}),
        (15, {"a": "firing"}, {"fired": 1}),
    ):
        await alerting.pass_time(passed * SECOND + SLOW, a=9, b=1)
        await alerting.evaluate(rule)
        assert (await alerting.states(), await alerting.counts()) == (states, counts)
    [fired] = await alerting.events(FIRED)
    labels = {"alertname": "Waiting", "queue": "a", "severity": "critical", "team": "x"}
    assert fired.data["labels"] == labels
    assert fired.data["annotations"] == {"summary": "9 wait"}
    assert (fired.data["rule"], fired.data["value"], fired.sequence, fired.actortype) == (rule, "9", 1, "service")
    _, found = await alerting.request("GET", f"{RULES}/{rule}")
    assert (found["state"], found["alerts"], found["problem"]) == ("firing", 1, None)
    await alerting.pass_time(15 * SECOND, a=2, b=8)
    await alerting.evaluate(rule)
    assert (await alerting.states(), await alerting.counts()) == ({"b": "pending"}, {"fired": 1, "resolved": 1})
    [resolved] = await alerting.events(RESOLVED)
    assert (resolved.subject, resolved.sequence, resolved.data["reason"]) == (fired.subject, 2, "condition")
    assert resolved.data["resolvedAt"] == alerting.now.isoformat()


async def test_a_dry_run_shows_what_a_rule_finds_and_stores_nothing(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9, b=1)
    found = await alerting.request("POST", f"{RULES}/dry-run", {**RULE, "for": "1h"}, "metrics:read")
    labels = {"alertname": "Waiting", "queue": "a", "severity": "warning"}
    assert found == (200, {"alerts": [{"labels": labels, "annotations": {"summary": "9 wait"}, "value": "9"}]})
    assert (await alerting.request("GET", RULES))[1] == {"rules": []}
    assert await alerting.metrics.outbox(alerting.tenant) == []


async def test_an_alert_begins_when_it_did_although_workers_end_in_between(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create(**{"for": "30s"})
    for passed in (0, 15, 15, 15):
        await alerting.pass_time(passed * SECOND + SLOW, a=9)
        alerting.evaluator = AlertEvaluator(alerting.metrics.container)
        await alerting.evaluate(rule)
    [fired] = await alerting.events()
    began, fires = (datetime.fromisoformat(fired.data[name]) for name in ("activeAt", "firedAt"))
    assert timedelta(seconds=30) <= fires - began < timedelta(seconds=31)


async def test_two_workers_at_once_give_one_event(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9, b=9)
    rules = [await alerting.create(name=f"Rule {number}") for number in range(5)]
    workers = [AlertEvaluator(alerting.metrics.container) for _ in range(2)]
    for rule in rules:  # both have claimed it: the lease of the first has ended
        claimed = await alerting.rule(rule)
        await asyncio.gather(*(worker.evaluate(claimed) for worker in workers))
    assert await alerting.counts() == {"fired": 10}
    for turn in range(6):
        await alerting.pass_time(INTERVAL + SLOW, a=9 * (turn % 2), b=9, c=7 * (1 - turn % 2))
        await asyncio.gather(*(worker.run() for worker in workers for _ in range(2)))
    subjects = Counter((one.subject, one.action) for one in await alerting.events())
    assert set(subjects.values()) == {1}
    assert sum(action == FIRED for _, action in subjects) >= 15


KILLED = """
import asyncio, os, signal, sys
from quartet_common.config.settings import read_config
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_metrics.alerts import rule_store
from quartet_metrics.alerts.alert_evaluation_usecases import AlertEvaluator
from quartet_metrics.config import MetricsConfig
from datetime import datetime
from uuid import UUID

store = UnitOfWork.store

async def store_and_end(work):
    await store(work)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    container = AppContainer(read_config(MetricsConfig), clock=lambda: datetime.fromisoformat(sys.argv[3]))
    await container.open()
    async with container.database.connection() as connection:
        rule = await rule_store.get_rule(connection, sys.argv[1], UUID(sys.argv[2]))
    if sys.argv[4] == "kill":
        UnitOfWork.store = store_and_end
    await AlertEvaluator(container).evaluate(rule)

asyncio.run(main())
"""


async def test_a_kill_before_the_commit_loses_and_doubles_nothing(alerting: Alerting, servers: Stack) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create()
    environment = {**os.environ, **servers.environment("metrics", "worker")}

    async def work(how: str) -> int:
        arguments = [sys.executable, "-c", KILLED, alerting.tenant, rule, alerting.now.isoformat(), how]
        done = await asyncio.to_thread(subprocess.run, arguments, env=environment, capture_output=True, timeout=60)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        return done.returncode

    for expected in ({"fired": 1}, {"fired": 1, "resolved": 1}):
        before = await alerting.counts(), await alerting.states()
        for _ in range(2):
            assert await work("kill") == -signal.SIGKILL
            assert (await alerting.counts(), await alerting.states()) == before
        assert await work("finish") == 0
        assert await alerting.counts() == expected
        await alerting.pass_time(INTERVAL + SLOW, a=1)


async def test_the_engine_is_away_and_alerts_keep_their_states(alerting: Alerting, servers: Stack) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create()
    await alerting.evaluate(rule)
    await asyncio.to_thread(servers.stop, "victoria-metrics")
    try:
        alerting.now += 3 * LATE
        with pytest.raises(UnavailableError):
            await alerting.evaluate(rule)
        await alerting.evaluator.run()
        _, found = await alerting.request("GET", f"{RULES}/{rule}")
        assert found["problem"].startswith("The evaluation is late since")
        assert (await alerting.states(), await alerting.counts()) == ({"a": "firing"}, {"fired": 1})
        status, refused = await alerting.request("POST", RULES, {**RULE, "name": "other"})
        assert (status, refused["code"]) == (503, "engine_unavailable")
    finally:
        await asyncio.to_thread(servers.start, "victoria-metrics")
    # it is back, but has not got the values of the last minutes yet, which has the mark
    with pytest.raises(UnavailableError, match="is being filled"):
        await alerting.evaluate(rule)
    await alerting.pass_time(SECOND, a=9)
    await alerting.evaluate(rule)
    assert (await alerting.states(), await alerting.counts()) == ({"a": "firing"}, {"fired": 1})
    assert (await alerting.request("GET", f"{RULES}/{rule}"))[1]["problem"] is None


async def test_a_crash_that_loses_the_last_samples_of_the_engine_resolves_nothing(alerting: Alerting) -> None:
    """The mark is from before the alert: what has made it fire may not be on the disk of the engine."""
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create()
    await alerting.evaluate(rule)
    await alerting.pass_time(INTERVAL + SLOW, has_mark=False, a=1)
    await alerting.evaluate(rule)
    assert (await alerting.states(), await alerting.counts()) == ({"a": "firing"}, {"fired": 1})
    await alerting.pass_time(INTERVAL + SLOW, a=1)
    await alerting.evaluate(rule)
    assert await alerting.counts() == {"fired": 1, "resolved": 1}


async def kill_engine(alerting: Alerting, servers: Stack, rule: str) -> None:
    """Kill the engine, and evaluate a rule until the engine has been started again and has answered. It may have lost
    what it had not written to its disk.
    """
    servers.kill("victoria-metrics")

    async def is_back() -> bool:
        with suppress(UnavailableError):
            await alerting.evaluate(rule)
        with suppress(httpx.TransportError):
            await alerting.flush()
            return True
        return False

    await eventually(is_back, "the engine is started again", 60)
    with suppress(UnavailableError):  # it has not got the mark
        await alerting.evaluate(rule)


async def test_alerts_are_neither_lost_nor_doubled_when_the_engine_is_killed(
    alerting: Alerting, servers: Stack
) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create(**{"for": "30s"})
    await alerting.evaluate(rule)
    began = alerting.now
    await kill_engine(alerting, servers, rule)
    assert (await alerting.states(), await alerting.counts()) == ({"a": "pending"}, {})
    await alerting.pass_time(31 * SECOND, a=9)
    await alerting.evaluate(rule)
    [fired] = await alerting.events()
    assert (fired.action, fired.data["activeAt"]) == (FIRED, began.isoformat())
    await kill_engine(alerting, servers, rule)
    assert (await alerting.states(), await alerting.counts()) == ({"a": "firing"}, {"fired": 1})
    for value, resolved in ((9, {}), (1, {"resolved": 1})):
        await alerting.pass_time(INTERVAL + SLOW, a=value)
        await alerting.evaluate(rule)
        assert await alerting.counts() == {"fired": 1, **resolved}
    await kill_engine(alerting, servers, rule)
    await alerting.pass_time(INTERVAL + SLOW, a=1)
    await alerting.evaluate(rule)
    assert (await alerting.states(), await alerting.counts()) == ({}, {"fired": 1, "resolved": 1})


async def test_an_engine_without_its_data_resolves_nothing(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create()
    await alerting.evaluate(rule)
    await alerting.pass_time(timedelta(minutes=10), has_mark=False, other=9)
    with pytest.raises(UnavailableError, match="is being filled"):
        await alerting.evaluate(rule)
    assert (await alerting.states(), await alerting.counts()) == ({"a": "firing"}, {"fired": 1})
    await alerting.pass_time(SECOND, has_mark=True)
    await alerting.evaluate(rule)
    assert await alerting.counts() == {"fired": 2, "resolved": 1}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO engine_rewrites (tenant_id, series, due_at) VALUES ($1, 1, $2)",
        REWRITTEN,
    ],
)
async def test_nothing_is_resolved_while_series_are_written_again(alerting: Alerting, statement: str) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create()
    await alerting.evaluate(rule)
    await alerting.pass_time(INTERVAL + SLOW, a=1)
    async with alerting.metrics.container.database.transaction() as connection:
        await connection.execute(statement, alerting.tenant, alerting.now)
    await alerting.evaluate(rule)
    assert (await alerting.states(), await alerting.counts()) == ({"a": "firing"}, {"fired": 1})
    async with alerting.metrics.container.database.transaction() as connection:
        await connection.execute("DELETE FROM engine_rewrites WHERE tenant_id = $1", alerting.tenant)
    await alerting.pass_time(INTERVAL, a=1)
    await alerting.evaluate(rule)
    assert await alerting.counts() == {"fired": 1, "resolved": 1}


async def test_a_rule_that_cannot_be_evaluated_any_more_says_why_and_keeps_its_alerts(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create(expr="label_replace(waiting, 'queue', 'x', 'queue', 'b') > 5", name="Replaced")
    await alerting.evaluate(rule)
    await alerting.pass_time(INTERVAL + SLOW, b=9, x=9)
    await alerting.evaluate(rule)
    _, found = await alerting.request("GET", f"{RULES}/{rule}")
    assert found["problem"].startswith("An operator found several series for one label set.")
    assert (await alerting.states(), await alerting.counts()) == ({"a": "firing"}, {"fired": 1})


async def test_a_replaced_or_deleted_rule_resolves_its_alerts(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9, b=9)
    rule = await alerting.create(**{"for": "1s"})
    await alerting.evaluate(rule)
    same = await alerting.request("PUT", f"{RULES}/{rule}", {**RULE, "for": "1s"})
    assert (same[0], same[1]["state"], await alerting.counts()) == (200, "pending", {})
    await alerting.pass_time(INTERVAL + SLOW, a=9)
    await alerting.evaluate(rule)
    claimed = await alerting.rule(rule)
    status, found = await alerting.request("PUT", f"{RULES}/{rule}", {**RULE, "severity": "info"})
    assert (status, found["state"], found["rule"]["severity"]) == (200, "inactive", "info")
    await alerting.evaluator.evaluate(claimed)  # by a worker that had the former rule
    assert await alerting.states() == {}
    await alerting.evaluate(rule)
    assert set((await alerting.states()).values()) == {"firing"}
    assert (await alerting.request("DELETE", f"{RULES}/{rule}"))[0] == 204
    assert (await alerting.request("GET", f"{RULES}/{rule}"))[0] == 404
    assert await alerting.states() == {}
    reasons = Counter(one.data["reason"] for one in await alerting.events(RESOLVED))
    assert reasons == Counter({"rule replaced": 2, "rule deleted": 2})
    changes = await alerting.events(*(f"metrics.alert_rule.{name}" for name in ("created", "updated", "deleted")))
    assert [(one.action.rpartition(".")[2], one.sequence) for one in changes] == [
        ("created", 1), ("updated", 2), ("deleted", 3),
    ]  # fmt: skip


async def test_names_are_different_and_rules_have_a_limit(alerting: Alerting) -> None:
    first, second = await alerting.create(), await alerting.create(name="Second")
    for method, path in (("POST", RULES), ("PUT", f"{RULES}/{second}")):
        status, refused = await alerting.request(method, path, RULE)
        assert (status, refused["code"]) == (409, "name_taken")
    assert (await alerting.request("PUT", f"{RULES}/{first}", {**RULE, "expr": "waiting > 6"}))[0] == 200
    for number in range(MAX_RULES - 2):
        await alerting.create(name=f"Rule {number}", expr="vector(0) > 1")
    status, refused = await alerting.request("POST", RULES, {**RULE, "name": "one more"})
    assert (status, refused["code"]) == (409, "too_many_rules")
    assert len((await alerting.request("GET", RULES))[1]["rules"]) == MAX_RULES


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"name": "n"}, 400, "expr is missing."),
        ({"name": "n", "expr": "x", "if": 1}, 400, "unknown member 'if'."),
        ({"name": "", "expr": "x"}, 400, "name must not be empty."),
        ({"name": "n", "expr": "x", "severity": "bad"}, 400, "severity has a value that is not allowed: 'bad'."),
        ({"name": "n", "expr": "x", "for": "5"}, 400, "for must be a duration of at most 30 days"),
        ({"name": "n", "expr": "sum(("}, 422, "The query is invalid: "),
        ({"name": "n", "expr": "waiting[5m]"}, 422, "expr gives a range of samples."),
        ({"name": "n", "expr": 'label_set(1, "tenant", "x")'}, 422, "The label tenant is reserved"),
    ],
)
async def test_an_invalid_rule_is_refused(alerting: Alerting, body: Any, status: int, detail: str) -> None:
    await alerting.pass_time(SECOND, a=9)
    for path in (RULES, f"{RULES}/dry-run"):
        found = await alerting.request("POST", path, body)
        assert found[0] == status, found
        assert found[1]["detail"].startswith(detail), found
    assert (await alerting.request("GET", RULES))[1] == {"rules": []}


async def test_the_worker_evaluates_rules_that_are_due_of_each_tenant_and_not_of_deleted_ones(
    alerting: Alerting,
) -> None:
    await alerting.pass_time(SECOND, a=9)
    await alerting.create()
    deleted = Alerting(alerting.metrics)
    deleted.now = alerting.now
    await deleted.pass_time(SECOND, a=9)
    await deleted.create()
    async with alerting.metrics.container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, deleted.tenant)
    await alerting.evaluator.run()
    assert (await alerting.counts(), await deleted.counts()) == ({"fired": 1}, {})


async def test_a_rule_whose_worker_has_ended_is_evaluated_after_its_lease(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9)
    await alerting.create()
    async with alerting.metrics.container.database.transaction() as connection:
        claimed = await rule_store.claim_rules(connection, alerting.now, alerting.now + LEASE, 1000)
    assert alerting.tenant in {rule.tenant for rule in claimed}
    await alerting.evaluator.run()
    assert await alerting.counts() == {}
    await alerting.pass_time(LEASE, a=9)
    await alerting.evaluator.run()
    assert await alerting.counts() == {"fired": 1}


async def test_alerts_need_no_redis(alerting: Alerting, servers: Stack) -> None:
    await alerting.pass_time(SECOND, a=9)
    await asyncio.to_thread(servers.stop, "redis")
    try:
        await alerting.create()
        await alerting.evaluator.run()
        assert await alerting.counts() == {"fired": 1}
        await alerting.pass_time(INTERVAL + SLOW, a=1)
        await alerting.evaluator.run()
        assert await alerting.counts() == {"fired": 1, "resolved": 1}
    finally:
        await asyncio.to_thread(servers.start, "redis")


async def test_rules_and_alerts_of_a_deleted_tenant_are_deleted(alerting: Alerting) -> None:
    await alerting.pass_time(SECOND, a=9)
    rule = await alerting.create()
    await alerting.evaluate(rule)
    database = alerting.metrics.container.database
    async with database.transaction() as connection:
        await connection.execute(REWRITTEN, alerting.tenant, alerting.now)
        await tenant_deletion.record_tombstone(connection, alerting.tenant)
    await tenant_deletion.erasing(alerting.metrics.container, Erasure(staying={"engine_erased"})).action()
    async with database.connection() as connection:
        assert await connection.fetchval(LEFT, alerting.tenant) == 0
