"""The rules of the platform that an installation begins with, each on the real engine: with and without a reason."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_metrics.alerts import rule_store
from quartet_metrics.alerts.rule_domain import Definition, check_definition
from quartet_metrics.alerts.rule_usecases import find_series
from quartet_metrics.engine.engine_client import EngineClient
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService

WORKER = {"job": "quartet", "instance": "127.0.0.1:9000", "service": "audit", "process": "worker"}
DAY = 86_400
RULES: dict[str, tuple[str, dict[str, str], Any, Any, str]] = {
    "ProcessDown": ("up", WORKER, 1, 0, "quartet audit worker at 127.0.0.1:9000 cannot be read"),
    "OutboxWaits": (
        "quartet_outbox_lag_seconds",
        WORKER,
        2.5,
        61,
        "Events wait in the outbox of audit, the oldest for 61 s",
    ),
    "DeadLetters": (
        "quartet_queue_messages",
        {**WORKER, "queue": "quartet.audit.dead"},
        0,
        3,
        "3 messages are in quartet.audit.dead",
    ),
    "LoginFailures": (
        "quartet_logins_total",
        {"result": "locked_out"},
        [0, 50],
        [0, 51],
        "51 logins of all tenants were locked out in 10 minutes",
    ),
    "CertificateExpires": (
        "quartet_certificate_expiry_timestamp_seconds",
        {**WORKER, "certificate": "server"},
        15 * DAY,
        13 * DAY,
        "The server certificate of audit worker is valid for",
    ),
    "LoggingFails": (
        "quartet_logging_failure",
        {**WORKER, "kind": "receipts"},
        0,
        1,
        "The audit log misses events of audit (receipts)",
    ),
}
"""Of each rule: the metric that it is about and its labels, values with which it does not and does fire, and the
summary of its alert. Two values are one before the other; days of a certificate are from now on.
"""


async def definitions(metrics: RunningService) -> dict[str, Definition]:
    async with metrics.container.database.connection() as connection:
        rules = await rule_store.read_rules(connection, SYSTEM_TENANT)
    return {rule.definition.name: rule.definition for rule in rules}


def samples(name: str, labels: dict[str, str], value: Any, now: datetime) -> bytes:
    values: Iterable[float] = value if isinstance(value, list) else [value]
    if name.endswith("timestamp_seconds"):
        values = [now.timestamp() + value]
    listed = list(values)
    times = [now - timedelta(minutes=len(listed) - number) for number in range(len(listed))]
    metric = {"__name__": name, "tenant": SYSTEM_TENANT, **labels}
    stamps = [round(time.timestamp() * 1000) for time in times]
    return msgspec.json.encode({"metric": metric, "values": listed, "timestamps": stamps})


@pytest.mark.parametrize("name", RULES)
async def test_a_rule_of_the_platform_fires_for_its_reason_only(
    metrics: RunningService, engine: str, name: str
) -> None:
    definition = (await definitions(metrics))[name]
    check_definition(definition)
    metric, labels, good, bad, summary = RULES[name]
    client = EngineClient(metrics.container.config, lambda: metrics.container.http)
    queries = PrometheusQueries(metrics.container)
    # an hour of its own for each, in which no other test has samples
    start = datetime.now(UTC) - timedelta(days=2) + timedelta(hours=2 * list(RULES).index(name))
    for now, value in ((start, good), (start + timedelta(hours=1), bad)):
        await client.write(samples(metric, labels, value, now))

    async def finds() -> bool:
        return bool(await find_series(queries, SYSTEM_TENANT, definition, start + timedelta(hours=1)))

    await eventually(finds, "an alert", 20)
    [found] = await find_series(queries, SYSTEM_TENANT, definition, start + timedelta(hours=1))
    assert await find_series(queries, SYSTEM_TENANT, definition, start) == []
    values = {"$value": found.value, **{f"$labels.{label}": text for label, text in found.labels.items()}}
    text = definition.annotations["summary"]
    for placeholder, shown in values.items():
        text = text.replace(f"{{{{ {placeholder} }}}}", shown)
    assert text.startswith(summary)


async def test_every_rule_of_the_platform_is_tested(metrics: RunningService) -> None:
    assert (await definitions(metrics)).keys() == RULES.keys()
