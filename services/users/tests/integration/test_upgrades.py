"""Upgrades: what an earlier schema has kept is there after the migrations, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from quartet_cli.stack import Stack
from quartet_common.auth.opaque_tokens import REFRESH_TOKEN, digest, family_of, make, make_next
from quartet_common.data.connections import Connection
from quartet_common.data.migrations import find_migrations, migrate
from quartet_scim.filters import fold
from quartet_scim.json import dump
from quartet_scim.usernames import prepare
from quartet_users.passwords import credential_store
from quartet_users.roles import scope_revocation_store
from quartet_users.sessions import session_store
from quartet_users.sessions.session_store import Session, TokenHashes
from quartet_users.users import name_keys, user_domain, user_store

LOST = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
BATCHES = UUID(int=1), UUID(int=2)
NAMED = {"userName": "bjensen"}
USERS = [UUID(int=number) for number in range(10, 15)]


@asynccontextmanager
async def empty_schema(servers: Stack) -> AsyncIterator[Connection]:
    """A connection to a schema of the test's own: the service's role may make none."""
    secret = (servers.home.secrets / "postgres/password").read_text().strip()
    port, schema = servers.state.ports["postgres"], f"test_{uuid4().hex}"
    owner = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", password=secret, database="quartet")
    try:
        await owner.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}")
        yield owner
        await owner.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        await owner.close()


async def test_scopes_that_were_lost_before_the_upgrade_are_told_after_it(servers: Stack) -> None:
    async with empty_schema(servers) as connection:
        await migrate(connection, "quartet_common", find_migrations("quartet_common"))
        known = find_migrations("quartet_users")
        await migrate(connection, "quartet_users", known[:12])
        await connection.executemany(
            """
            INSERT INTO scope_losses (tenant_id, batch, user_id, scopes, lost_at, actor)
            VALUES ($1, $2, $3, $4, $5, 'admin')
            """,
            [
                (tenant, batch, user, ["audit:read"], LOST)
                for tenant in ("acme", "globex")
                for batch in BATCHES
                for user in USERS
            ],
        )
        await migrate(connection, "quartet_users", known)
        rows = await scope_revocation_store.take(connection, "acme", BATCHES[0], 1000)
        assert sorted(row["users"][0] for row in rows) == USERS
        assert {(row["actor"], row["lost_at"], tuple(row["scopes"])) for row in rows} == {
            ("admin", LOST, ("audit:read",))
        }
        left = await scope_revocation_store.take_any(connection, 1000)
        assert len(left) == 3 * len(USERS)
        assert await scope_revocation_store.users_without(connection, "acme", USERS, ["audit:read"]) == USERS


async def test_sessions_that_were_begun_before_the_upgrade_go_on_and_end_by_their_used_tokens(servers: Stack) -> None:
    used, last = (make(REFRESH_TOKEN, "acme") for _ in range(2))
    user, session = USERS[0], USERS[1]
    async with empty_schema(servers) as connection:
        await migrate(connection, "quartet_common", find_migrations("quartet_common"))
        known = find_migrations("quartet_users")
        await migrate(connection, "quartet_users", known[:13])
        assert await user_store.insert_user(connection, "acme", user_domain.create(user, NAMED, LOST)[0])
        await session_store.insert_session(
            connection, "acme", Session(session, user, "quartet-cli", LOST, LOST, LOST, LOST)
        )
        await connection.executemany(
            """
            INSERT INTO refresh_tokens (tenant_id, token_hash, session_id, issued_at, used_at)
            VALUES ($1, $2, $3, $4, $5)
            """,
            [("acme", digest(token), session, LOST, at) for token, at in ((used, LOST), (last, None))],
        )
        await migrate(connection, "quartet_users", known)

        async def is_unused(token: str) -> bool | None:
            row = await session_store.find_refresh_token(connection, "acme", TokenHashes.of(token))
            return None if row is None else row["is_unused"]

        assert (await is_unused(used), await is_unused(last)) == (False, True)
        following = make_next(family_of(last))
        hashes = TokenHashes.of(last), TokenHashes.of(following)
        await session_store.replace_refresh_token(connection, "acme", *hashes, LOST)
        assert [await is_unused(token) for token in (used, last, following)] == [False, False, True]
        assert await is_unused(make(REFRESH_TOKEN, "acme")) is None


async def test_users_that_never_said_whether_they_are_active_say_so_after_the_upgrade(servers: Stack) -> None:
    async with empty_schema(servers) as connection:
        await migrate(connection, "quartet_common", find_migrations("quartet_common"))
        known = find_migrations("quartet_users")
        await migrate(connection, "quartet_users", known[:14])
        resources = {"silent": {}, "on": {"active": True}, "off": {"active": False}}
        await connection.executemany(
            """
            INSERT INTO users (tenant_id, id, user_name_key, version, created_at, modified_at, resource)
            VALUES ('acme', gen_random_uuid(), $1, 1, $2, $2, $3)
            """,
            [(name, LOST, dump({"userName": name, **rest})) for name, rest in resources.items()],
        )
        await migrate(connection, "quartet_users", known)
        rows = await connection.fetch("SELECT user_name_key, version, modified_at, resource -> 'active' FROM users")
        assert {tuple(row) for row in rows} == {
            ("silent", 1, LOST, "true"), ("on", 1, LOST, "true"), ("off", 1, LOST, "false"),
        }  # fmt: skip
        await connection.execute('UPDATE users SET resource = resource || \'{"emails": [{"value": "a@x"}]}\'')
        assert await connection.fetchval("SELECT count(*) FROM user_emails") == len(resources)


async def test_names_that_an_upgrade_finds_equal_lose_nobody_and_are_reported_until_one_of_them_goes(
    servers: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    wide, nfd, final, capitals = "\uff21bc", "rene\u0301", "\u03bf\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3"
    old = [wide, "abc", "Ren\u00e9", nfd, final, capitals, "\u0130x", "\u00c9va", "bjensen"]
    ids = {name: UUID(int=number) for number, name in enumerate(old, 1)}
    async with empty_schema(servers) as connection:
        await migrate(connection, "quartet_common", find_migrations("quartet_common"))
        known = find_migrations("quartet_users")
        await migrate(connection, "quartet_users", known[:14])
        await connection.executemany(
            """
            INSERT INTO users (tenant_id, id, user_name_key, version, created_at, modified_at, resource)
            VALUES ('acme', $1, $2, 1, $3, $3, $4)
            """,
            [(ids[name], fold(name), LOST, dump({"userName": name})) for name in old],
        )
        await migrate(connection, "quartet_users", known)
        await name_keys.prepare_all(connection)

        async def keys() -> dict[str, str]:
            rows = await connection.fetch("SELECT resource ->> 'userName' AS name, user_name_key FROM users")
            return {row["name"]: row["user_name_key"] for row in rows}

        equal = {wide: "\uff41bc", nfd: nfd, final: final}
        assert await keys() == {name: prepare(name) for name in old} | equal
        reported = {
            (record.__dict__["user"], record.__dict__["equal_to"])
            for record in caplog.records
            if "equal names" in record.message
        }
        holders = {wide: "abc", nfd: "Ren\u00e9", final: capitals}
        assert reported == {(str(ids[name]), str(ids[holder])) for name, holder in holders.items()}
        for name in old:
            credential = await credential_store.find_by_name(connection, "acme", name)
            assert credential is not None
            assert credential.user_id == ids[name]
        await connection.execute("DELETE FROM users WHERE user_name_key = 'abc'")
        caplog.clear()
        await name_keys.prepare_all(connection)
        assert (await keys())[wide] == "abc"
        assert len([record for record in caplog.records if "equal names" in record.message]) == 2
        left = await connection.fetch("SELECT user_id FROM unprepared_names")
        assert {row["user_id"] for row in left} == {ids[nfd], ids[final]}


async def test_a_name_that_an_older_api_stores_after_the_migration_is_prepared_by_the_next_one(servers: Stack) -> None:
    wide, user = "\uff21bc", UUID(int=1)
    async with empty_schema(servers) as connection:
        await migrate(connection, "quartet_common", find_migrations("quartet_common"))
        await migrate(connection, "quartet_users", find_migrations("quartet_users"))
        await name_keys.prepare_all(connection)
        await connection.execute(
            """
            INSERT INTO users (tenant_id, id, user_name_key, version, created_at, modified_at, resource)
            VALUES ('acme', $1, $2, 1, $3, $3, $4)
            """,
            user,
            fold(wide),
            LOST,
            dump({"userName": wide}),
        )
        await name_keys.prepare_all(connection)
        assert await connection.fetchval("SELECT user_name_key FROM users WHERE id = $1", user) == "abc"
        assert await connection.fetchval("SELECT count(*) FROM unprepared_names") == 0
