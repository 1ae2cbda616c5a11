"""The export: everything that a tenant has in the users service, and no secret of it."""

import json
import tracemalloc
from typing import Any
from uuid import UUID

from quartet_common.data.row_exports import FETCH_BYTES
from quartet_testing.roles import RoleAdmin, log_in
from quartet_testing.services import RunningService, new_tenant
from quartet_users.users import user_store


async def exported(users: RunningService, headers: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of an export by kind."""
    answer = await users.client.get("/users/data/export", headers=headers)
    *rows, end = [json.loads(line) for line in (await answer.get_data()).splitlines()]
    assert end == {"kind": "end", "count": len(rows)}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["kind"], []).append(row["data"])
    return found


async def test_roles_and_who_has_them_are_exported(
    users: RunningService, admin: RoleAdmin, headers: dict[str, str]
) -> None:
    user, role = await admin.user(logged_in=False), await admin.role("Auditor", "audit:read", "users:read")
    await admin.give(role, user)
    _, shown = await admin.send("GET", f"/users/roles/{role}")
    rows = await exported(users, headers)
    [one] = rows["role"]
    assert {**one, "created_at": "", "modified_at": ""} == {**shown, "created_at": "", "modified_at": "", "version": 2}
    assert one["created_at"].endswith("Z")
    [grant] = rows["role_grant"]
    assert (grant["role_id"], grant["grantee_type"], grant["grantee_id"]) == (role, "User", user)
    assert grant["granted_by"] == "hr-sync"


async def test_sessions_and_passwords_are_exported_without_tokens_and_hashes(
    users: RunningService, admin: RoleAdmin, headers: dict[str, str], tenant: str
) -> None:
    user = await admin.user(logged_in=False, password="correct horse battery staple")
    await log_in(users, tenant, UUID(user))
    rows = await exported(users, headers)
    [session], [credential] = rows["session"], rows["credential"]
    assert (session["user_id"], session["client_id"]) == (user, "quartet-cli")
    assert session.keys() == {
        "id", "user_id", "client_id", "created_at", "last_used_at", "ends_at", "expires_at", "source_address",
        "user_agent",
    }  # fmt: skip
    assert credential.keys() == {"user_id", "changed_at", "must_change"}
    assert credential["user_id"] == user


async def test_clients_and_scim_tokens_are_exported_without_what_proves_them(
    users: RunningService, headers: dict[str, str], made_tenant: str
) -> None:
    assert made_tenant
    rows = await exported(users, headers)  # a tenant is made with one of each
    [tenant], [client], [secret], [token] = (rows[kind] for kind in ("tenant", "client", "client_secret", "scim_token"))
    assert (tenant["id"], tenant["status"]) == (made_tenant, "active")
    assert (client["name"], client["jwks"], client["authentication"]) == ("provisioning", None, "client_secret_basic")
    assert secret.keys() == {"client_id", "id", "hint", "created_at", "expires_at", "last_used_at"}
    assert secret["client_id"] == client["id"]
    assert token["name"] == "provisioning"
    assert "token_hash" not in token
    assert sorted(token["scopes"]) == ["groups:read", "groups:write", "users:read", "users:write"]


async def test_nothing_of_another_tenant_is_exported(
    users: RunningService, admin: RoleAdmin, headers: dict[str, str], made_tenant: str
) -> None:
    assert made_tenant
    user = await admin.user(password="correct horse battery staple")
    await admin.give(await admin.role("r", "audit:read"), user)
    assert len(await exported(users, headers)) == 9
    assert await exported(users, users.tokens.headers(new_tenant(), ["tenant:admin"])) == {}


async def test_an_export_holds_few_large_users_in_memory_at_a_time(users: RunningService, tenant: str) -> None:
    size, count = 400_000, 80
    async with users.container.database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO users (tenant_id, id, user_name_key, version, created_at, modified_at, resource)
            SELECT $1, gen_random_uuid(), n::text, 1, now(), now(),
                   jsonb_build_object('userName', n::text, 'title', repeat('x', $2))
            FROM generate_series(1, $3) AS n
            """,
            tenant,
            size,
            count,
        )
    read = 0
    async with users.container.database.snapshot() as connection:
        tracemalloc.start()
        async for row in user_store.export_users(connection, tenant):
            read += len(row)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert read > size * count
    assert peak < 3 * FETCH_BYTES
