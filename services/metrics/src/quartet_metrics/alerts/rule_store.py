"""SQL of alert rules: connection first, then the tenant; never commits."""

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_metrics.alerts.rule_domain import Definition, Rule
from quartet_metrics.engine.engine_domain import SETTLED

COLUMNS = "tenant_id, id, version, definition, created_at, changed_at, evaluated_at, problem, due_at"
READ = f"SELECT {COLUMNS} FROM alert_rules WHERE tenant_id = $1"
INSERT = f"""
INSERT INTO alert_rules (tenant_id, id, definition, created_at, changed_at, due_at, leased_until)
VALUES ($1, $2, $3, $4, $4, $4, $4) RETURNING {COLUMNS}"""
REPLACE = f"""
UPDATE alert_rules SET version = version + 1, definition = $3, changed_at = $4, evaluated_at = NULL, problem = NULL,
    due_at = $4, leased_until = $4
WHERE tenant_id = $1 AND id = $2 RETURNING {COLUMNS}"""

# Each tenant has its first turn before another has its second. The conditions are repeated for rules that another
# worker has claimed meanwhile. Tenants whose series are being written again are left out: a series may be missing.
CLAIM = f"""
WITH due AS (
    SELECT tenant_id, id, due_at, row_number() OVER (PARTITION BY tenant_id ORDER BY due_at, id) AS turn
    FROM alert_rules WHERE due_at <= $1 AND leased_until <= $1
    AND NOT EXISTS (SELECT FROM deleted_tenants WHERE deleted_tenants.tenant_id = alert_rules.tenant_id)
    AND NOT EXISTS (
        SELECT FROM engine_rewrites WHERE engine_rewrites.tenant_id = alert_rules.tenant_id AND due_at <= $4)
), chosen AS (
    SELECT tenant_id, id FROM alert_rules JOIN due USING (tenant_id, id)
    WHERE alert_rules.due_at <= $1 AND alert_rules.leased_until <= $1
    ORDER BY due.turn, due.due_at LIMIT $3 FOR UPDATE OF alert_rules SKIP LOCKED
), claimed AS (
    UPDATE alert_rules SET leased_until = $2 FROM chosen
    WHERE alert_rules.tenant_id = chosen.tenant_id AND alert_rules.id = chosen.id RETURNING alert_rules.*
)
SELECT {COLUMNS} FROM claimed"""
HOLD = """
SELECT true FROM alert_rules WHERE tenant_id = $1 AND id = $2 AND version = $3 AND due_at = $4
AND NOT EXISTS (SELECT FROM deleted_tenants WHERE deleted_tenants.tenant_id = $1) FOR UPDATE"""
IS_REWRITTEN = """
SELECT EXISTS (SELECT FROM engine_rewrites WHERE tenant_id = $1 AND due_at <= $2)
    OR EXISTS (SELECT FROM engine_rewritten WHERE tenant_id = $1 AND rewritten_at > $3)"""
EVALUATED = """
UPDATE alert_rules SET evaluated_at = $3, problem = $4, due_at = $5, leased_until = $5
WHERE tenant_id = $1 AND id = $2"""

export_rules = json_rows(
    "SELECT id, definition::text AS definition, created_at, changed_at FROM alert_rules WHERE tenant_id = $1 "
    "ORDER BY id",
    jsonb=("definition",),
)
"""Exports the alert rules of a tenant."""


async def lock_tenant(connection: Connection, tenant: str) -> None:
    """Have others who store a rule of the tenant wait until this transaction has ended, so that limits hold."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('quartet.metrics.alert_rules/' || $1, 0))", tenant
    )


async def read_rules(connection: Connection, tenant: str) -> list[Rule]:
    """The rules of a tenant, the oldest first."""
    return [_rule(row) for row in await connection.fetch(f"{READ} ORDER BY created_at, id", tenant)]


async def get_rule(connection: Connection, tenant: str, identifier: UUID) -> Rule | None:
    """One rule of a tenant, or None."""
    row = await connection.fetchrow(f"{READ} AND id = $2", tenant, identifier)
    return None if row is None else _rule(row)


async def lock_rule(connection: Connection, tenant: str, identifier: UUID) -> Rule | None:
    """As `get_rule`; the rule and its alerts are locked until the transaction ends."""
    row = await connection.fetchrow(f"{READ} AND id = $2 FOR UPDATE", tenant, identifier)
    return None if row is None else _rule(row)


async def insert_rule(
    connection: Connection, tenant: str, identifier: UUID, definition: Definition, now: datetime
) -> Rule:
    """Store a new rule, which is due at once."""
    return _rule(await connection.fetchrow(INSERT, tenant, identifier, _text(definition), now))


async def replace_rule(
    connection: Connection, tenant: str, identifier: UUID, definition: Definition, now: datetime
) -> Rule:
    """Replace a rule that is locked; it is due at once."""
    return _rule(await connection.fetchrow(REPLACE, tenant, identifier, _text(definition), now))


async def delete_rule(connection: Connection, tenant: str, identifier: UUID) -> None:
    """Delete a rule and its alerts."""
    await connection.execute("DELETE FROM alert_rules WHERE tenant_id = $1 AND id = $2", tenant, identifier)


async def claim_rules(connection: Connection, now: datetime, until: datetime, limit: int) -> list[Rule]:
    """Lease up to `limit` rules of all tenants that are due."""
    return [_rule(row) for row in await connection.fetch(CLAIM, now, until, limit, now + SETTLED)]


async def hold_claimed(connection: Connection, rule: Rule) -> bool:
    """Lock a claimed rule; False if it was changed, deleted, or evaluated by another worker since."""
    return bool(await connection.fetchval(HOLD, rule.tenant, rule.id, rule.version, rule.due_at))


async def is_rewritten(connection: Connection, tenant: str, now: datetime, since: datetime) -> bool:
    """Whether series of the tenant are written again now, or were after `since`: a query may have missed them."""
    return bool(await connection.fetchval(IS_REWRITTEN, tenant, now + SETTLED, since))


async def note_evaluation(
    connection: Connection, rule: Rule, now: datetime, problem: str | None, due_at: datetime
) -> None:
    """Store when a rule was evaluated, with the problem if there was one, and when it is due again."""
    await connection.execute(EVALUATED, rule.tenant, rule.id, now, problem, due_at)


async def read_first_due(connection: Connection) -> datetime | None:
    """When the rule was due that has waited the longest; None without rules."""
    found: datetime | None = await connection.fetchval("SELECT min(due_at) FROM alert_rules")
    return found


def _rule(row: asyncpg.Record | None) -> Rule:
    if row is None:
        raise AssertionError("RETURNING gives the row that was stored")
    values = dict(row)
    tenant, definition = values.pop("tenant_id"), values.pop("definition")
    return Rule(tenant=tenant, definition=msgspec.json.decode(definition, type=Definition), **values)


def _text(definition: Definition) -> str:
    return msgspec.json.encode(definition).decode()
