"""The exports: every table that holds something of a tenant is exported, or it is said here why not."""

import asyncio
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_testing.client import Api, unique
from quartet_testing.faults import database
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

EXPORTED = {
    "users": {
        "tenants": "tenant",
        "tenant_schemas": "schema",
        "users": "user",
        "credentials": "credential",
        "sessions": "session",
        "roles": "role",
        "role_grants": "role_grant",
        "clients": "client",
        "client_secrets": "client_secret",
        "scim_tokens": "scim_token",
        "origins": "origin",
    },
    "groups": {"groups": "group", "members": "member", "nestings": "member"},
    "audit": {"entries": "entry", "personal_parts": "entry", "erased_parts": "entry", "streams": "stream"},
    "metrics": {"series": "series", "samples": "sample", "active_users": "active_user", "alert_rules": "alert_rule"},
}
"""The kind of line that has the rows of a table."""
EVERYWHERE = {
    "outbox": "events of what is exported, for milliseconds",
    "published_events": "the same events, for some hours",
    "dead_letters": "events of other exports that have not had their effect yet; /rabbitmq/dead-letters shows them",
    "redrives": "numbers of dead letters that operators have sent again, for a month",
    "inbox": "ids of events that were taken in",
    "idempotency_keys": "hashes, and encrypted responses with what is exported, for a day",
    "data_jobs": "what was imported and exported, for some days; it is in the audit log",
    "data_job_chunks": "files of jobs: what was imported, until the job ends, and results, for some days",
    "data_job_findings": "reports of jobs, for some days",
    "revocations": "ids of what ended, for minutes; who ended it is in the audit log",
    "tenant_origins": "a copy of what users exports",
    "restores": "how many lines of an archive were restored",
    "deleted_tenants": "only deleted tenants, which have no export",
}
NOT_EXPORTED = {
    "users": {
        "user_emails": "an index of what users have",
        "user_totals": "a count of users",
        "unprepared_names": "ids of users whose names have become equal to others in an upgrade",
        "schema_sets": "a counter of changes of schemas",
        "signing_keys": "the platform's",
        "refresh_tokens": "hashes of tokens only; the sessions are exported",
        "client_assertions": "ids of assertions that were used, for an hour",
        "scope_losses": "work that is waiting for the worker, for seconds",
        "known_groups": "a copy of what groups exports",
        "memberships": "a copy of what groups exports",
        "nestings": "a copy of what groups exports",
        "ancestors": "follows from nestings",
    },
    "groups": {
        "group_totals": "a count of groups",
        "known_users": "a copy of what users exports",
        "membership_versions": "counters of changes",
        "privileged_groups": "follows from the grants of roles, which users exports",
    },
    "audit": {
        "logs": "a count of entries and hashes",
        "leaves": "hashes of what is exported",
        "tiles": "hashes of leaves",
        "erasures": "requests; the entries say what was erased by which",
        "checkpoints": "the log has its own route for the last one",
        "cosigned_checkpoints": "only the deployment log, which has no tenant",
        "waiting_checkpoints": "only the deployment log, which has no tenant",
        "signing_keys": "the platform's",
        "application_events": "hashes and ids of entries, which are exported",
        "digest_keys": "secrets",
        "pruned_logs": "how many entries have expired",
        "retentions": "a setting, which is in the log and at /audit/retention",
        "legal_holds": "in the log and at /audit/legal-hold",
        "term_blocks": "an index of entries",
        "term_segments": "an index of entries",
        "term_postings": "an index of entries",
    },
    "metrics": {
        "event_counts": "counts of the release before, for a minute",
        "engine_rewrites": "work that is waiting for the worker",
        "engine_rewritten": "a time",
        "alerts": "follow from the rules; what has fired is in the audit log",
        "engine_erased": "only deleted tenants, which have no export",
        "reconciliations": "when the counts were compared",
        "drifts": "follow from a comparison",
        "delta_totals": "sums of what applications have sent, which is in the engine; digests instead of names",
        "metric_metadata": "what applications send each minute",
        "former_users": "random ids of deleted users, whose days are exported",
    },
}
"""Tables whose rows are not exported, and why."""
TABLES = """
SELECT table_name FROM information_schema.columns
WHERE table_schema = $1 AND column_name = 'tenant_id' AND table_name IN (
    SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p'))"""
SECRET = """
SELECT DISTINCT column_name FROM information_schema.columns
WHERE table_schema = $1 AND column_name ~ 'hash|private|password|secret$'"""
HASHES = """
SELECT secret_hash AS hash FROM client_secrets UNION ALL SELECT token_hash FROM scim_tokens
UNION ALL SELECT token_hash FROM refresh_tokens UNION ALL SELECT family_hash FROM refresh_tokens"""


@pytest.mark.parametrize("service", SERVICES)
async def test_every_table_of_a_tenant_is_exported_or_listed_with_a_reason(stack: Stack, service: str) -> None:
    async with database(stack, service) as connection:
        tables = {row["table_name"] for row in await connection.fetch(TABLES, service)}
    exported, left_out = EXPORTED[service].keys(), EVERYWHERE.keys() | NOT_EXPORTED[service].keys()
    assert not exported & left_out
    assert tables == exported | left_out


def names(value: Any) -> Iterator[str]:
    """The names of all members of a JSON value, however deep."""
    if isinstance(value, dict):
        yield from value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from names(one)


async def fill(api: Api) -> list[str]:
    """Make something of each kind in the tenant; returns what is secret of it."""
    password = "correct horse battery staple"
    user = await api.create_user(password=password)
    await api.create_group([user["id"], (await api.create_group())["id"]])
    role = (await api.post("/users/roles", json={"name": unique("r"), "scopes": ["users:read"]})).json()
    given = await api.post(f"/users/roles/{role['id']}/grants", json={"type": "User", "id": user["id"]})
    assert given.status_code == 201, given.text
    schema = {"id": f"urn:example:{unique('s')}:2.0:User", "name": "S", "attributes": [{"name": "number"}]}
    assert (await api.post("/users/schemas", json=schema)).status_code == 201
    client = (await api.post("/users/clients", json={"name": "c", "scopes": ["users:read"]})).json()
    destination = {"type": "splunk", "url": "https://127.0.0.1:9/", "token": unique("splunk")}
    stream = {"name": "SIEM", "destination": destination, "filters": {"actor": "nobody"}}
    assert (await api.post("/audit/streams", json=stream)).status_code == 201
    rule = await api.post("/metrics/alerts/rules", json={"name": "never", "expr": "vector(1) > 1"})
    assert rule.status_code == 201, rule.text
    token = (await api.post("/users/scim-tokens", json={"name": "t"})).json()
    assert (await api.post("/users/origins", json={"origin": f"https://{unique('o')}.example.com"})).status_code == 201
    tenant = client["client_id"].rpartition(".")[0]
    login = {"tenant": tenant, "user_name": user["userName"], "password": password}
    session = (await api.post("/users/login", json=login)).json()
    await api.entries_of(user["id"], "users.user.created")
    await api.counted("users.user.created", 1)
    return [
        destination["token"],
        password,
        client["client_secret"],
        token["token"],
        session["refresh_token"],
        session["access_token"],
    ]


async def test_an_export_has_a_line_of_each_kind_and_no_secret(stack: Stack) -> None:
    async with Api(stack.url, await asyncio.to_thread(stack.token, await a_tenant(stack))) as api:
        secrets = [*await fill(api), "$argon2"]
        async with database(stack, "users") as connection:
            hashes = [row["hash"] for row in await connection.fetch(HASHES) if row["hash"] is not None]
        secrets += [
            text for one in hashes for text in (one.hex(), b64encode(one).decode(), urlsafe_b64encode(one).decode())
        ]
        for service in SERVICES:
            answer = await api.get(f"/{service}/data/export")
            *rows, _ = [json.loads(line) for line in answer.text.splitlines()]
            assert {row["kind"] for row in rows} == set(EXPORTED[service].values())
            assert not [one for one in secrets if one in answer.text]
            async with database(stack, service) as connection:
                secret = {row["column_name"] for row in await connection.fetch(SECRET, service)}
            assert service != "users" or {"password_hash", "secret_hash", "token_hash", "private_key"} <= secret
            assert not set(names([row["data"] for row in rows])) & secret


async def a_tenant(stack: Stack) -> str:
    """A tenant that was made, as people who log in need one."""
    tenant = new_tenant()
    async with Api(stack.url, await asyncio.to_thread(stack.token, "quartet")) as platform:
        made = await platform.post("/users/tenants", json={"id": tenant})
        assert made.status_code == 201, made.text
    return tenant
