"""The tables as PostgreSQL has them: the tenant leads every key and every index; each role sees its own schema only."""

import asyncpg
import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_testing.faults import database

pytestmark = pytest.mark.local_stack

TENANTLESS = {
    "outbox": "a queue over all tenants, read in the order of its ids; rows live for milliseconds",
    "published_events": "the journal of the outbox, in the same order; rows live for some hours",
    "logging_failures": "failures of logging that last; holds nothing of any tenant",
    "recorded_position": "how far the journal was compared with the audit log; holds nothing of any tenant",
    "consumer_pauses": "which consumers of the service are paused, for all tenants; holds nothing of any tenant",
    "schema_migrations": "says which migrations were run; holds nothing of any tenant",
}
INDEXES = """
SELECT index.relname AS index, relation.relname AS relation, pg_index.indisprimary AS is_primary,
       (SELECT attname FROM pg_attribute WHERE attrelid = relation.oid AND attnum = pg_index.indkey[0]) AS leads
FROM pg_index JOIN pg_class index ON index.oid = indexrelid JOIN pg_class relation ON relation.oid = indrelid
WHERE relation.relnamespace = $1::regnamespace"""
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p')"
MAINTENANCE = {
    "dead_letters_id": "lists those of all tenants for platform administrators, and finds one by its id",
    "dead_letters_redrive": "finds what is sent next, of all tenants at once",
    "redrives_running": "finds what is running, of all tenants at once",
    "data_jobs_open": "finds jobs that wait for a worker, of all tenants at once",
    "idempotency_keys_time": "finds what is old enough to be forgotten, of all tenants at once",
    "published_events_time": "finds what is old enough to be forgotten, of all tenants at once",
    "application_events_received_at": "finds what is old enough to be forgotten, of all tenants at once",
    "inbox_received_at": "finds what is old enough to be forgotten, of all tenants at once",
    "alert_rules_due_at": "finds what is due, of all tenants at once",
    "sessions_ends_at": "finds what is over, of all tenants at once",
    "tenant_origins_written_by": "finds what is new, of all tenants at once",
    "revocations_written_by": "finds what is new, of all tenants at once",
}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_tenant_leads_every_key_and_every_index(stack: Stack, service: str) -> None:
    async with database(stack, service) as connection:
        rows = await connection.fetch(INDEXES, service)
        tables = {row["relname"] for row in await connection.fetch(TABLES, service)}
    wrong = {
        row["index"]
        for row in rows
        if row["relation"] not in TENANTLESS and row["index"] not in MAINTENANCE and row["leads"] != "tenant_id"
    }
    assert not wrong
    assert {row["relation"] for row in rows if row["is_primary"]} == tables, "every table has a primary key"
    assert TENANTLESS.keys() <= tables


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_shut_out_of_the_schemas_of_the_others(stack: Stack, service: str) -> None:
    async with database(stack, service) as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") >= 0
        for other in SERVICES:
            if other != service:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetchval(f"SELECT count(*) FROM {other}.outbox")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE public.anybody (id integer)")
