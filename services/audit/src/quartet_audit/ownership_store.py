"""SQL of ownership: what the role that serves may do with the tables, which belong to the role that runs migrations.

`migrate` grants it anew each time, so that tables and functions of later migrations have it too.
"""

from collections.abc import Mapping

from quartet_common.data.connections import Connection
from quartet_common.data.migrations import MigrationError

SERVING_ROLE = "quartet_audit"
"""What api and worker connect as; deploy/postgres/init.sh creates it, and the owner."""

PRIVILEGES: Mapping[str, str] = {
    "entries": "SELECT, INSERT",
    "personal_parts": "SELECT, INSERT",
    "erased_parts": "SELECT",
    "leaves": "SELECT, INSERT",
    "tiles": "SELECT, INSERT",
    "logs": "SELECT",
    "checkpoints": "SELECT",
    "cosigned_checkpoints": "SELECT, INSERT, UPDATE",
    "waiting_checkpoints": "SELECT, INSERT, DELETE",
    "signing_keys": "SELECT, INSERT, UPDATE (signs_until)",
    "erasures": "SELECT, INSERT, UPDATE (searched, entries, parts, completed_at)",
    "application_events": "SELECT, INSERT, UPDATE (digest, is_keyed), DELETE",
    "digest_keys": "SELECT, INSERT, DELETE",
    "retentions": "SELECT, INSERT, UPDATE, DELETE",
    "legal_holds": "SELECT, INSERT, UPDATE, DELETE",
    "pruned_logs": "SELECT, UPDATE (reported)",
    "streams": "SELECT, INSERT, UPDATE, DELETE",
    "term_segments": "SELECT, INSERT, DELETE",
    "term_blocks": "SELECT, INSERT, DELETE",
    "term_postings": "SELECT, INSERT, DELETE",
    "outbox": "SELECT, INSERT, DELETE",
    "published_events": "SELECT, INSERT, DELETE",
    "inbox": "SELECT, INSERT, DELETE",
    "consumer_pauses": "SELECT, INSERT, UPDATE",
    "dead_letters": "SELECT, INSERT, UPDATE (redrive_id), DELETE",
    "redrives": "SELECT, INSERT, UPDATE (sent, failed, paced_at, finished_at, is_cancelled), DELETE",
    "revocations": "SELECT, INSERT, UPDATE, DELETE",
    "restores": "SELECT, INSERT, UPDATE, DELETE",
    "tenant_origins": "SELECT, INSERT, UPDATE, DELETE",
    "idempotency_keys": "SELECT, INSERT, UPDATE, DELETE",
    "data_jobs": "SELECT, INSERT, UPDATE, DELETE",
    "data_job_chunks": "SELECT, INSERT, DELETE",
    "data_job_findings": "SELECT, INSERT, DELETE",
    "deleted_tenants": "SELECT, INSERT, UPDATE",
    "logging_failures": "SELECT, INSERT, UPDATE, DELETE",
    "recorded_position": "SELECT, UPDATE",
    "schema_migrations": "SELECT",
}
"""What the role that serves may do with each table. The log itself it can only read and continue."""

TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"""
GRANT_ALL = f"""
DO $grant$
BEGIN
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM {SERVING_ROLE}', current_schema());
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %I TO {SERVING_ROLE}', current_schema());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {SERVING_ROLE}', current_schema());
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM {SERVING_ROLE}', current_schema());
END $grant$"""


GRANTS = [f"GRANT {privileges} ON {table} TO {SERVING_ROLE}" for table, privileges in PRIVILEGES.items()]


async def grant(connection: Connection) -> None:
    """Give the role that serves its privileges, and no others; `connection` is one of the owner.

    Raises MigrationError if it is one of the role that serves, or if a table has no privileges here.
    """
    if await connection.fetchval("SELECT current_user") == SERVING_ROLE:
        raise MigrationError(
            f"audit's migrations run as {SERVING_ROLE}, which would own the tables: run deploy/postgres/init.sh, and "
            "have migrate connect as quartet_audit_owner (docs/operations.md, The owner of the audit log)"
        )
    if unknown := {row["relname"] for row in await connection.fetch(TABLES)} - PRIVILEGES.keys():
        raise MigrationError(f"PRIVILEGES of ownership_store.py has no entry for {', '.join(sorted(unknown))}")
    await connection.execute(";".join([GRANT_ALL, *GRANTS]))  # at once: one transaction
