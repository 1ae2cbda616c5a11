"""The role that serves: it reads the log and continues it, and can neither change, remove nor own what is there."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import pytest

from quartet_audit.app import SERVICE
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.config import AuditConfig
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_audit.ownership_store import PRIVILEGES, SERVING_ROLE, grant
from quartet_audit.trees import tree_store
from quartet_cli.binaries import find
from quartet_cli.layout import CHECKOUT
from quartet_cli.servers.postgres import make_roles
from quartet_cli.stack import Stack
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.data.migrations import MigrationError
from quartet_common.runtime.process import prepare
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

LOG = ("entries", "personal_parts", "erased_parts", "leaves", "tiles", "logs", "checkpoints")
FORBIDDEN = (
    "UPDATE {table} SET tenant_id = 'other' WHERE tenant_id = $1",
    "DELETE FROM {table} WHERE tenant_id = $1",
    "TRUNCATE {table}",
    "ALTER TABLE {table} ADD COLUMN more text",
    "ALTER TABLE {table} DISABLE TRIGGER USER",
    "ALTER TABLE {table} OWNER TO quartet_audit",
    "DROP TABLE {table}",
    "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
    "CREATE TRIGGER quiet BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE RULE quiet AS ON INSERT TO {table} DO INSTEAD NOTHING",
)
ELSEWHERE = (
    "SET ROLE quartet_audit_owner",
    "SET session_replication_role = replica",
    "CREATE TABLE mine (a integer)",
    "CREATE TEMPORARY TABLE logs (a integer)",
    "CREATE FUNCTION lock_logs() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "DROP FUNCTION refuse_change() CASCADE",
    "ALTER FUNCTION erase_parts(text, uuid, bigint[], timestamptz) SET search_path = pg_temp",
    "DROP SCHEMA audit CASCADE",
    "DELETE FROM signing_keys",
    "UPDATE signing_keys SET private_key = ''",
    "UPDATE erasures SET size = size + 1",
    "DELETE FROM deleted_tenants",
    "DELETE FROM schema_migrations",
)


async def refused(audit: "Audit", statement: str, *values: object) -> None:
    """The service may not run the statement."""
    async with audit.container.database.transaction() as connection:
        assert await connection.fetchval("SELECT current_user") == SERVING_ROLE
        nested = connection.transaction()
        await nested.start()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement, *values)
        await nested.rollback()


@pytest.mark.parametrize("table", LOG)
async def test_the_service_can_neither_change_nor_remove_nor_own_what_is_in_the_log(
    audit: "Audit", make_event: "MakeEvent", table: str
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    for statement in FORBIDDEN:
        await refused(audit, statement.format(table=table), *([tenant] if "$1" in statement else []))
    assert len(await audit.ids(tenant)) == 1


@pytest.mark.parametrize("statement", ELSEWHERE)
async def test_nor_can_it_get_around_that(audit: "Audit", statement: str) -> None:
    await refused(audit, statement)


async def test_functions_of_the_owner_cannot_be_used_to_rewrite_a_log(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant) for _ in range(300)])
    await CheckpointSigner(audit.container).run()
    async with audit.container.database.connection() as connection:
        log = await tree_store.get_frontier(connection, tenant)
    assert log is not None
    await refused(audit, "SELECT grow_logs(ARRAY[$1], ARRAY[1], ARRAY[sha256('1')])", tenant)
    await refused(audit, "SELECT grow_logs(ARRAY[$1], ARRAY[$2::bigint], ARRAY[$3::bytea])", tenant, 300, b"x" * 128)
    await refused(
        audit,
        "SELECT store_checkpoints(ARRAY[$1], ARRAY[1], ARRAY[sha256('1')], ARRAY['x'], ARRAY[now()], ARRAY[1],"
        " ARRAY[sha256('1')])",
        tenant,
    )
    async with audit.container.database.connection() as connection:
        assert await tree_store.get_frontier(connection, tenant) == log


async def test_parts_are_erased_only_for_a_request_that_is_an_entry(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, request, user = new_tenant(), new_id(), str(new_id())
    await audit.record([make_event(tenant=tenant, subject=f"users/{user}", data={"a": 1})])
    erase = "SELECT erase_parts($1, $2, ARRAY[0], now())"
    await refused(audit, erase, tenant, request)
    async with audit.container.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO erasures (tenant_id, id, user_id, actor, requested_at, size)"
            " VALUES ($1, $2, $3, 'x', now(), 1)",
            tenant,
            request,
            user,
        )
    await refused(audit, erase, tenant, request)
    await carry_out_all(audit.container)
    [entry] = await audit.find(tenant)
    assert entry["data"] == {"a": 1}
    await audit.record([make_event("audit.erasure.requested", tenant, subject=f"erasures/{request}")])
    await carry_out_all(audit.container)
    [entry] = await audit.find(tenant, resource=user)
    assert entry["data"] is None
    await refused(audit, erase, tenant, request)  # it is completed


@pytest.mark.parametrize("table", ["entries", "personal_parts", "erased_parts", "erasures", "leaves", "logs; --"])
async def test_rows_of_a_tenant_are_removed_only_if_its_deletion_is_an_entry(
    audit: "Audit", make_event: "MakeEvent", table: str
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    await refused(audit, "SELECT erase_tenant($1, $2, 10)", table, tenant)
    async with audit.container.database.transaction() as connection:
        await connection.execute("INSERT INTO deleted_tenants VALUES ($1, now(), NULL)", tenant)
    await refused(audit, "SELECT erase_tenant($1, $2, 10)", table, tenant)
    assert len(await audit.ids(tenant)) == 1


async def test_each_table_has_its_privileges_and_each_function_of_the_owner_a_fixed_path(audit: "Audit") -> None:
    async with audit.owner.database.connection() as connection:
        tables = await connection.fetch(
            "SELECT relname, relowner::regrole::text AS owner FROM pg_class"
            " WHERE relnamespace = 'audit'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        functions = await connection.fetch(
            "SELECT proname, proconfig, proowner::regrole::text AS owner,"
            " has_function_privilege('public', oid, 'EXECUTE') AS is_public"
            " FROM pg_proc WHERE pronamespace = 'audit'::regnamespace AND prosecdef"
        )
    assert {row["relname"] for row in tables} == PRIVILEGES.keys()
    assert {row["owner"] for row in [*tables, *functions]} == {"quartet_audit_owner"}
    assert {row["proname"] for row in functions} >= {"lock_logs", "grow_logs", "grow_tiles", "erase_parts"}
    for row in functions:
        assert "search_path=audit, pg_temp" in row["proconfig"], row["proname"]
        assert not row["is_public"], row["proname"]


async def test_migrations_are_refused_as_the_role_that_serves(audit: "Audit") -> None:
    async with audit.container.database.connection() as connection:
        with pytest.raises(MigrationError, match=r"run deploy/postgres/init\.sh"):
            await grant(connection)


@asynccontextmanager
async def superuser(servers: Stack) -> AsyncIterator[Connection]:
    """A connection that may do everything."""
    secret = (servers.home.secrets / "postgres/password").read_text().strip()
    port = servers.state.ports["postgres"]
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", password=secret, database="quartet"
    )
    try:
        yield connection
    finally:
        await connection.close()


PROVIDER = """
CREATE ROLE provider CREATEROLE LOGIN;
GRANT CREATE ON DATABASE quartet TO provider;
GRANT CONNECT ON DATABASE quartet TO provider WITH GRANT OPTION;
SET SESSION AUTHORIZATION provider"""
END_PROVIDER = """
RESET SESSION AUTHORIZATION;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'provider') THEN
        DROP OWNED BY provider;
        DROP ROLE provider;
    END IF;
END $$"""
SCHEMA_LAST = "ALTER SCHEMA audit OWNER TO CURRENT_USER; ALTER SCHEMA audit OWNER TO quartet_audit"
"""Objects get a new owner in the order in which they got the old one: a table before its schema needs CREATE there."""
STEPS = re.compile(r"```sql\nCREATE ROLE quartet_audit_owner .*?;\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("has_superuser", [True, False], ids=["init.sh", "by a provider's role"])
async def test_tables_of_an_earlier_release_get_their_owner(
    audit: "Audit",
    servers: Stack,
    config_for: ConfigFor[AuditConfig],
    make_event: "MakeEvent",
    *,
    has_superuser: bool,
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'audit'"
    make = partial(make_roles, servers.home, find(), servers.state.ports["postgres"])
    async with superuser(servers) as connection:
        await connection.execute("REVOKE quartet_audit FROM quartet_audit_owner")
        await connection.execute("REASSIGN OWNED BY quartet_audit_owner TO quartet_audit")
        await connection.execute(SCHEMA_LAST)
        assert [row[0] for row in await connection.fetch(owners)] == ["quartet_audit"]
        try:
            if has_superuser:
                await asyncio.to_thread(make)
                await audit.record([make_event(tenant=tenant)])  # a running process goes on until migrate has ended
            else:
                await connection.execute(PROVIDER)
                [steps] = STEPS.findall((CHECKOUT / "docs/operations.md").read_text())
                await connection.execute(steps)
            assert [row[0] for row in await connection.fetch(owners)] == ["quartet_audit_owner"]
        finally:
            await connection.execute(END_PROVIDER)
            await asyncio.to_thread(make)  # for the tests that follow, whatever the steps have done
    await prepare(SERVICE, config_for(AuditConfig, "migrate"))
    await audit.record([make_event(tenant=tenant)])
    await refused(audit, "DELETE FROM entries WHERE tenant_id = $1", tenant)
    assert len(await audit.ids(tenant)) == 2 + has_superuser
    await CheckpointSigner(audit.container).run()
