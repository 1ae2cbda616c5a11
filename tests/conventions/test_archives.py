"""The archives: every table and column that holds something of a tenant is archived, or it is said here why not."""

from importlib import import_module
from typing import Any

import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_common.data.archived_table import ArchivedTable
from quartet_testing.faults import database

pytestmark = pytest.mark.local_stack

MODULES = {"audit": ("quartet_audit.archives.archive_usecases", "TABLES")}
"""What has the archived tables of a service, if it is not `ARCHIVED` of its module `archives`."""
BUNDLE = "the lines of the bundle"
LOGS = ("entries", "personal_parts", "erased_parts", "leaves", "tiles", "logs")
OTHERWISE = {
    "users": {},
    "groups": {},
    "audit": {**dict.fromkeys(LOGS, BUNDLE), "digest_keys": "the key itself: it is encrypted by each deployment"},
    "metrics": {**dict.fromkeys(("series", "samples", "active_users"), "the lines of an export")},
}
"""Tables that are archived by other means than their rows."""
EVERYWHERE = {
    "outbox": "events on their way, for milliseconds",
    "published_events": "copies of events that are in the log",
    "inbox": "ids of events that were taken in",
    "dead_letters": "events of this deployment that have not had their effect yet",
    "redrives": "numbers of dead letters that were sent again here",
    "idempotency_keys": "responses of this deployment, for a day",
    "revocations": "of tokens of this deployment; a suspended tenant is suspended again",
    "deleted_tenants": "only deleted tenants, which have no archive",
    **dict.fromkeys(
        ("data_jobs", "data_job_chunks", "data_job_findings"), "what was imported and exported here, for some days"
    ),
    "restores": "what was restored into this deployment",
}
NOT_ARCHIVED = {
    "users": {
        "user_emails": "follows from the users, by a trigger",
        "user_totals": "follows from the users, by a trigger",
        "signing_keys": "the platform's",
        "refresh_tokens": "secrets",
        "client_secrets": "secrets",
        "client_assertions": "ids of assertions that were used, for an hour",
        "scope_losses": "work that is waiting for the worker, for seconds",
    },
    "groups": {
        "group_totals": "follows from the groups, by a trigger",
        "membership_versions": "counters of changes, for caches",
    },
    "audit": {
        "checkpoints": "the bundle has the last one; the other deployment signs its own",
        "cosigned_checkpoints": "only the deployment log, which has no tenant",
        "waiting_checkpoints": "only the deployment log, which has no tenant",
        "signing_keys": "the platform's",
        "pruned_logs": "the log of a tenant that has one is not archived",
        "streams": "their secrets are of the deployment: they are made anew",
        "term_blocks": "an index of entries, which the worker builds",
        "term_segments": "an index of entries, which the worker builds",
        "term_postings": "an index of entries, which the worker builds",
    },
    "metrics": {
        "event_counts": "counts of the release before, for a minute",
        "engine_rewrites": "work that is waiting for the worker",
        "engine_rewritten": "a time",
        "engine_erased": "only deleted tenants, which have no archive",
        "alerts": "follow from the rules",
        "reconciliations": "when the counts were compared",
        "drifts": "follow from a comparison",
        "metric_metadata": "what applications send each minute",
        "delta_totals": "sums of what applications have sent to the engine of this deployment",
    },
}
"""Tables whose rows are not archived, and why."""
LEFT_OUT = {
    "tenant_origins": {"written_by": "a transaction"},
    "role_grants": {"user_id": "generated"},
    "alert_rules": dict.fromkeys(("evaluated_at", "problem", "due_at", "leased_until"), "of the evaluation here"),
}
"""Columns of archived tables that are not archived, and why."""
COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = $1 AND table_name IN (
    SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p'))"""


def archived(service: str) -> dict[str, ArchivedTable]:
    """The archived tables of a service, by their names."""
    module, name = MODULES.get(service, (f"quartet_{service}.archives", "ARCHIVED"))
    kinds: dict[str, Any] = getattr(import_module(module), name)
    return {one.table: one for one in kinds.values() if isinstance(one, ArchivedTable)}


@pytest.mark.parametrize("service", SERVICES)
async def test_every_table_and_column_of_a_tenant_is_archived_or_listed_with_a_reason(
    stack: Stack, service: str
) -> None:
    found: dict[str, set[str]] = {}
    async with database(stack, service) as connection:
        for row in await connection.fetch(COLUMNS, service):
            found.setdefault(row["table_name"], set()).add(row["column_name"])
    tables, known = {name for name, columns in found.items() if "tenant_id" in columns}, archived(service)
    left_out = EVERYWHERE.keys() | NOT_ARCHIVED[service].keys() | OTHERWISE[service].keys()
    assert not known.keys() & left_out
    assert tables == known.keys() | left_out
    for name, table in known.items():
        columns = {"tenant_id", *table.columns, *table.replaced}
        assert found[name] - LEFT_OUT.get(name, {}).keys() == columns, name
