"""Tenants across all services: a suspended one is refused everywhere, a deleted one leaves nothing anywhere."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from yarl import URL

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, Document, TokenFor
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import database, kill
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

READS = {"users": USERS, "groups": GROUPS, "audit": "/audit/events", "metrics": "/metrics/query?metric=events"}
"""A question to each service."""
TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')"""
SCHEMA = {"id": "urn:example:Badge", "name": "Badge", "attributes": [{"name": "number"}]}
REMAINS = {
    "users": {"tenants", "deleted_tenants", "revocations"},
    "groups": {"deleted_tenants", "revocations"},
    "audit": {"deleted_tenants", "revocations", "logs", "leaves", "checkpoints"},
    "metrics": {"deleted_tenants", "revocations"},
}
"""All that is left of a tenant: that it is gone, and the tree of its log with the latest checkpoint."""


@dataclass(frozen=True)
class Customer:
    """A tenant with something in every service, and who may end it."""

    tenant: str
    api: Api
    scim_token: str
    platform: Api
    stack: Stack


@pytest.fixture
async def customer(stack: Stack, token_for: TokenFor) -> AsyncIterator[Customer]:
    """A tenant with an administrator, users, nested groups, a schema, an audit log and counts."""
    tenant = new_tenant()
    async with Api(stack.url, await token_for("quartet", "platform:admin audit:read")) as platform:
        body = {"id": tenant, "display_name": "Acme", "administrator": {"user_name": "bjensen"}}
        made = await platform.post("/users/tenants", json=body)
        assert made.status_code == 201, made.text
        async with Api(stack.url, await token_for(tenant)) as api:
            await fill(api)
            yield Customer(tenant, api, made.json()["scim_token"], platform, stack)


async def fill(api: Api) -> None:
    """Have every service hold something of the tenant."""
    assert (await api.post("/users/schemas", json=SCHEMA)).status_code == 201
    user = await api.create_user(password="a very long password", emails=[{"value": "b@example.com"}])
    group = await api.create_group([user["id"]])
    outer = await api.create_group([group["id"]])
    await api.entries_of(outer["id"], "groups.group.created")
    await api.counted("groups.nesting.added", 1)

    async def joined() -> bool:
        shown: Document = (await api.get(f"{USERS}/{user['id']}")).json()
        return len(shown.get("groups", [])) == 2

    await eventually(joined, "both groups on the user")


async def statuses(api: Api, bearer: str | None = None) -> dict[str, int]:
    """What each service answers."""
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    answers = await asyncio.gather(*(api.get(path, headers=headers) for path in READS.values()))
    return {service: answer.status_code for service, answer in zip(READS, answers, strict=True)}


async def until(wanted: int, customer: Customer) -> float:
    """How many seconds it takes until every service answers so."""
    begun = time.monotonic()
    await eventually(lambda: every(wanted, lambda: statuses(customer.api)), f"{wanted} of every service", timeout=5)
    return time.monotonic() - begun


async def every(wanted: int, ask: Callable[[], Awaitable[dict[str, int]]]) -> bool:
    """Whether all answers are so."""
    return set((await ask()).values()) == {wanted}


async def rows(stack: Stack, tenant: str) -> dict[str, dict[str, int]]:
    """How many rows of a tenant each table of each service has, but for empty ones."""
    found: dict[str, dict[str, int]] = {}
    for service in SERVICES:
        async with database(stack, service) as connection:
            names = [row["relname"] for row in await connection.fetch(TABLES, service)]
            counts = [
                (name, await connection.fetchval(f'SELECT count(*) FROM "{name}" WHERE tenant_id = $1', tenant))
                for name in names
            ]
        found[service] = {name: count for name, count in counts if count}
    return found


async def only_remains(stack: Stack, tenant: str) -> dict[str, dict[str, int]] | None:
    """What is left of a tenant, once it is nothing but what stays for good."""
    found = await rows(stack, tenant)
    return found if {service: tables.keys() for service, tables in found.items()} == REMAINS else None


async def test_a_suspended_tenant_is_refused_by_every_service_until_it_is_resumed(
    customer: Customer, other: Api
) -> None:
    path = f"/users/tenants/{customer.tenant}"
    assert await statuses(customer.api) == dict.fromkeys(READS, 200)
    assert (await customer.platform.post(f"{path}/suspend")).status_code == 200
    await until(401, customer)
    assert (await customer.api.get(USERS, headers=bearer(customer.scim_token))).status_code == 401
    assert (await customer.api.get(GROUPS, headers=bearer(customer.scim_token))).status_code == 401
    assert await statuses(other) == dict.fromkeys(READS, 200)
    refusals = await eventually(lambda: refused(customer), "the refusals in the platform's log")
    assert {entry["action"].partition(".")[0] for entry in refusals} == set(SERVICES)
    assert (await customer.platform.post(f"{path}/resume")).status_code == 200
    await until(200, customer)
    assert (await customer.api.get(USERS, headers=bearer(customer.scim_token))).status_code == 200


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"Authorization": f"Bearer {token}"}


async def refused(customer: Customer) -> list[Document] | None:
    """The summaries of what was refused because the tenant is suspended, once each service has told of it."""
    entries = [one for one in await customer.platform.entries() if one["data"].get("reason") == "tenant_suspended"]
    wanted = {f"{service}.request.refused" for service in SERVICES}
    return entries if {one["action"] for one in entries} == wanted else None


async def test_a_deleted_tenant_leaves_nothing_in_any_schema_and_its_end_is_on_record(
    customer: Customer, other: Api, stack: Stack
) -> None:
    neighbour = await other.create_user()
    before = await rows(stack, customer.tenant)
    assert {"users", "credentials", "memberships", "nestings", "tenant_schemas", "roles"} <= before["users"].keys()
    assert {"groups", "members", "nestings", "known_users"} <= before["groups"].keys()
    assert "entries" in before["audit"]
    assert {"series", "samples"} <= before["metrics"].keys()
    logged = before["audit"]["entries"]
    assert (await customer.platform.delete(f"/users/tenants/{customer.tenant}")).status_code == 202
    await until(401, customer)

    left = await eventually(lambda: only_remains(stack, customer.tenant), "nothing of the tenant")
    assert left["audit"]["leaves"] >= logged
    assert (await other.get(f"{USERS}/{neighbour['id']}")).status_code == 200
    assert {"users", "roles", "scim_tokens"} <= (await rows(stack, await tenant_of(other, neighbour)))["users"].keys()
    [entry] = [
        one
        for one in await customer.platform.entries(action="users.tenant.deleted")
        if one["data"]["id"] == customer.tenant
    ]
    assert (entry["tenant"], entry["actor"], entry["outcome"]) == ("quartet", "quartet-admin", "success")


async def tenant_of(api: Api, user: Document) -> str:
    """The tenant of who asks."""
    [entry] = await api.entries_of(user["id"], "users.user.created")
    return str(entry["tenant"])


@pytest.mark.usefixtures("whole_stack")
@pytest.mark.slow
async def test_workers_that_are_killed_while_they_remove_a_tenant_finish_it_when_they_are_back(
    customer: Customer, stack: Stack
) -> None:
    assert (await customer.platform.delete(f"/users/tenants/{customer.tenant}")).status_code == 202
    for service in SERVICES:
        await kill(stack, f"{service}-worker")
    await eventually(lambda: only_remains(stack, customer.tenant), "nothing of the tenant", PATIENCE)


async def test_a_legal_hold_keeps_the_entries_of_a_deleted_tenant_until_the_platform_releases_it(
    customer: Customer, stack: Stack
) -> None:
    held = {"entries", "personal_parts", "legal_holds"}
    assert (await customer.api.put("/audit/legal-hold", json={"reason": "Case 1"})).status_code == 200
    assert (await customer.platform.delete(f"/users/tenants/{customer.tenant}")).status_code == 202

    async def only_entries_remain() -> bool:
        found = await rows(stack, customer.tenant)
        expected = {**REMAINS, "audit": REMAINS["audit"] | held}
        return {service: set(tables) for service, tables in found.items()} == expected

    await eventually(only_entries_remain, "nothing of the tenant but its entries")
    assert (await customer.platform.delete(f"/audit/legal-holds/{customer.tenant}")).status_code == 204
    await eventually(lambda: only_remains(stack, customer.tenant), "nothing of the tenant")
    released = await eventually(lambda: customer.platform.entries(action="audit.legal_hold.released"), "the release")
    assert customer.tenant in {entry["data"]["tenant"] for entry in released}


async def test_what_comes_late_of_a_deleted_tenant_has_no_effect_in_any_service(
    customer: Customer, other: Api, stack: Stack
) -> None:
    [old] = await eventually(lambda: customer.api.entries(action="groups.nesting.added"), "the entry")
    user: Document = {"id": str(uuid4()), "userName": "late", "displayName": None}
    assert (await customer.platform.delete(f"/users/tenants/{customer.tenant}")).status_code == 202

    await eventually(lambda: only_remains(stack, customer.tenant), "nothing of the tenant")
    await publish(stack, customer.tenant, old["type"], old["id"], old["data"])
    await publish(stack, customer.tenant, "quartet.users.user.created.v1", user["id"], user)
    later = await other.create_user()
    await other.entries_of(later["id"], "users.user.created")  # what was published before has been consumed
    await other.counted("users.user.created", 1)
    await consumed_by_groups(stack, later["id"])
    assert await only_remains(stack, customer.tenant)


async def consumed_by_groups(stack: Stack, user: str) -> None:
    """Wait until groups has heard of a user."""

    async def heard() -> Any:
        async with database(stack, "groups") as connection:
            return await connection.fetchval("SELECT true FROM known_users WHERE id = $1", user)

    await eventually(heard, "the user at groups")


async def publish(stack: Stack, tenant: str, kind: str, event_id: str, data: Document) -> None:
    """Send an event of a tenant once more."""
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/tests",
        "type": kind,
        "subject": f"things/{data['id']}",
        "time": datetime.now(UTC).isoformat(),
        "tenantid": tenant,
        "actorid": "tester",
        "sequence": 1,
        "data": data,
    }
    password = (stack.home.secrets / "users/quartet_broker_password").read_text().strip()
    url = URL(stack.environment("users", "worker")["QUARTET_BROKER_URL"]).with_password(password)
    async with await aio_pika.connect(url) as connection:
        exchange = await (await connection.channel()).get_exchange("quartet.events")
        message = aio_pika.Message(json.dumps(event).encode(), message_id=event_id, type=kind)
        await exchange.publish(message, kind.removeprefix("quartet."))
