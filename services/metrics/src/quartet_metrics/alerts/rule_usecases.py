"""Use cases of alert rules: try, create, replace, delete, read; each change opens its one transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError, ServiceError
from quartet_common.core.identifiers import new_id, parse_id
from quartet_common.core.validation_messages import shown
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_metrics.alerts import alert_store, rule_store
from quartet_metrics.alerts.alert_domain import Found, find
from quartet_metrics.alerts.alert_events import (
    DELETED,
    REPLACED,
    alert_resolved,
    rule_created,
    rule_deleted,
    rule_updated,
)
from quartet_metrics.alerts.rule_domain import MAX_RULES, Definition, Rule, check_definition
from quartet_metrics.alerts.rule_models import AlertState, RuleState
from quartet_metrics.config import MetricsConfig
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries

Container = AppContainer[MetricsConfig]

TIMEOUT = "5s"
"""The longest evaluation of a rule."""


async def find_series(queries: PrometheusQueries, tenant: str, definition: Definition, now: datetime) -> list[Found]:
    """What a rule finds at `now` in the series of `tenant`. Raises QueryError (422), UnavailableError (503)."""
    asked = {"query": definition.expr, "time": f"{now.timestamp():.3f}", "timeout": TIMEOUT}
    return find(definition, await queries.evaluate(tenant, "query", asked))


async def try_rule(
    container: Container, queries: PrometheusQueries, tenant: str, definition: Definition
) -> list[Found]:
    """What a rule that is not stored finds now. Raises BadRequestError (400) and what `find_series` raises."""
    check_definition(definition)
    return await find_series(queries, tenant, definition, container.clock())


async def create_rule(
    container: Container, queries: PrometheusQueries, caller: Caller, definition: Definition
) -> RuleState:
    """Store a rule that can be evaluated. Raises what `try_rule` raises, and ServiceError (409) for a name that another
    rule has, and beyond MAX_RULES.
    """
    await try_rule(container, queries, caller.tenant, definition)
    async with unit_of_work(container, caller) as work:
        await _require_name(work, definition.name)
        rule = await rule_store.insert_rule(work.connection, work.tenant, new_id(), definition, work.now())
        work.publish([rule_created(rule)])
        return RuleState.of(rule, [], work.now())


async def replace_rule(
    container: Container, queries: PrometheusQueries, caller: Caller, identifier: str, definition: Definition
) -> RuleState:
    """Replace a rule: its firing alerts are resolved, and it begins anew. The same rule again changes nothing.

    Raises NotFoundError (404) and what `create_rule` raises.
    """
    await try_rule(container, queries, caller.tenant, definition)
    async with _changing(container, caller, identifier) as (work, rule):
        if definition == rule.definition:
            alerts = await alert_store.read_alerts_of(work.connection, work.tenant, rule.id)
            return RuleState.of(rule, alerts, work.now())
        await _require_name(work, definition.name, rule.id)
        await _resolve_alerts(work, rule, REPLACED)
        changed = await rule_store.replace_rule(work.connection, work.tenant, rule.id, definition, work.now())
        work.publish([rule_updated(changed)])
        return RuleState.of(changed, [], work.now())


async def delete_rule(container: Container, caller: Caller, identifier: str) -> None:
    """Delete a rule: its firing alerts are resolved. Raises NotFoundError (404)."""
    async with _changing(container, caller, identifier) as (work, rule):
        await _resolve_alerts(work, rule, DELETED)
        await rule_store.delete_rule(work.connection, work.tenant, rule.id)
        work.publish([rule_deleted(replace(rule, version=rule.version + 1))])


async def list_rules(container: Container, tenant: str) -> list[RuleState]:
    """All rules of a tenant with their states, the oldest first."""
    async with container.database.snapshot() as connection:
        rules = await rule_store.read_rules(connection, tenant)
        alerts = await alert_store.read_alerts(connection, tenant)
    now = container.clock()
    return [RuleState.of(rule, alerts.get(rule.id, []), now) for rule in rules]


async def read_rule(container: Container, tenant: str, identifier: str) -> RuleState:
    """One rule with its state. Raises NotFoundError (404)."""
    async with container.database.snapshot() as connection:
        rule = _found(await rule_store.get_rule(connection, tenant, _parse(identifier)))
        alerts = await alert_store.read_alerts_of(connection, tenant, rule.id)
    return RuleState.of(rule, alerts, container.clock())


async def list_alerts(container: Container, tenant: str) -> list[AlertState]:
    """All pending and firing alerts of a tenant, by rule."""
    async with container.database.snapshot() as connection:
        rules = await rule_store.read_rules(connection, tenant)
        alerts = await alert_store.read_alerts(connection, tenant)
    return [AlertState.of(rule, alert) for rule in rules for alert in alerts.get(rule.id, [])]


@asynccontextmanager
async def _changing(container: Container, caller: Caller, identifier: str) -> AsyncIterator[tuple[UnitOfWork, Rule]]:
    """A unit of work with the tenant's rules locked for changes, and one rule also for its evaluation. Raises
    NotFoundError (404).
    """
    parsed = _parse(identifier)
    async with unit_of_work(container, caller) as work:
        await rule_store.lock_tenant(work.connection, work.tenant)
        yield work, _found(await rule_store.lock_rule(work.connection, work.tenant, parsed))


async def _require_name(work: UnitOfWork, name: str, own: UUID | None = None) -> None:
    """Raises ServiceError (409) if another rule than `own` has the name, or if one more rule is too many."""
    await rule_store.lock_tenant(work.connection, work.tenant)
    rules = await rule_store.read_rules(work.connection, work.tenant)
    if any(rule.definition.name == name and rule.id != own for rule in rules):
        raise ServiceError(409, "name_taken", f"Another rule has the name {shown(name)}. Choose another one.")
    if own is None and len(rules) >= MAX_RULES:
        raise ServiceError(409, "too_many_rules", f"A tenant may have {MAX_RULES} alert rules. Delete one first.")


async def _resolve_alerts(work: UnitOfWork, rule: Rule, reason: str) -> None:
    """End all alerts of a locked rule, and publish that of those that fire."""
    alerts = await alert_store.read_alerts_of(work.connection, work.tenant, rule.id)
    await alert_store.store_alerts(work.connection, work.tenant, rule.id, [])
    work.publish([alert_resolved(rule, one, work.now(), reason) for one in alerts if one.fired_at is not None])


def _parse(identifier: str) -> UUID:
    parsed = parse_id(identifier)
    if parsed is None:
        raise _not_found()
    return parsed


def _found(rule: Rule | None) -> Rule:
    if rule is None:
        raise _not_found()
    return rule


def _not_found() -> NotFoundError:
    return NotFoundError("There is no alert rule with this id.")
