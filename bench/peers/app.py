"""The peer: GET and POST of SCIM users as a FastAPI application does them, on the tables of the users service.

Same tokens, same statements, same outbox row, same NOTIFY after the commit; see compare.py, which starts it.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from peers.auth import Principal, Scope
from peers.models import Meta, UserIn, UserOut
from uuid_utils.compat import uuid7

CREATED = "quartet.users.user.created.v1"
READ = "SELECT id, version, created_at, modified_at, resource FROM users WHERE tenant_id = $1 AND id = $2"
INSERT = """
INSERT INTO users (tenant_id, id, user_name_key, external_id, version, created_at, modified_at, resource)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, user_name_key) DO NOTHING RETURNING true"""
ANNOUNCE = """
INSERT INTO outbox (tenant_id, actor_id, aggregate, type, event_id, traceparent, event)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""


class Waker:
    """Sends one NOTIFY for all commits that happened meanwhile."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.pending = False
        self.task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Have it sent soon."""
        self.pending = True
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self.notify())

    async def notify(self) -> None:
        """Send until nothing is pending."""
        while self.pending:
            self.pending = False
            await self.pool.execute("SELECT pg_notify($1, '')", "quartet_outbox_users")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool, open while the application runs."""

    async def no_reset(_: Any) -> None:
        """As in the users service: the state of a session is never changed."""

    settings = {"search_path": "users", "jit": "off"}
    url = os.environ["PEER_DATABASE_URL"]
    async with asyncpg.create_pool(url, min_size=1, max_size=10, server_settings=settings, reset=no_reset) as pool:
        app.state.pool, app.state.waker = pool, Waker(pool)
        yield


app = FastAPI(title="Peer", lifespan=lifespan)
BASE = os.environ["PEER_BASE"]
SHOWN = {"response_model": UserOut, "response_model_exclude_none": True}


def shown(user: UserIn, user_id: UUID, created: datetime, modified: datetime, version: int) -> UserOut:
    """A user with id and meta."""
    meta = Meta(created=created, last_modified=modified, location=f"{BASE}/Users/{user_id}", version=f'W/"{version}"')
    return UserOut.model_construct(**dict(user), id=user_id, meta=meta)


@app.get("/scim/v2/Users/{user_id}", **SHOWN)
async def read(
    user_id: UUID, request: Request, response: Response, who: Annotated[Principal, Depends(Scope("users:read"))]
) -> UserOut:
    """Read a user."""
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(READ, who.tenant, user_id)
    if row is None:
        raise HTTPException(404, "There is no such resource.")
    user = UserIn.model_validate_json(row["resource"])
    response.headers["ETag"] = f'W/"{row["version"]}"'
    return shown(user, user_id, row["created_at"], row["modified_at"], row["version"])


@app.post("/scim/v2/Users", status_code=201, **SHOWN)
async def create(
    user: UserIn, request: Request, response: Response, who: Annotated[Principal, Depends(Scope("users:write"))]
) -> UserOut:
    """Create a user."""
    now, user_id, key = datetime.now(UTC), uuid7(), user.user_name.lower()
    text = user.model_dump_json(by_alias=True, exclude_none=True)
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(INSERT, who.tenant, user_id, key, user.external_id, 1, now, now, text):
            raise HTTPException(409, "The userName is taken.")
        await announce(connection, who, user, user_id, now)
    request.app.state.waker.wake()
    response.headers["ETag"] = 'W/"1"'
    response.headers["Location"] = f"{BASE}/Users/{user_id}"
    return shown(user, user_id, now, now, 1)


async def announce(connection: Any, who: Principal, user: UserIn, user_id: UUID, now: datetime) -> None:
    """Write the event of a new user into the outbox."""
    event_id = uuid7()
    event = {
        "specversion": "1.0",
        "id": str(event_id),
        "source": "/users",
        "type": CREATED,
        "subject": f"users/{user_id}",
        "time": now,
        "tenantid": who.tenant,
        "actorid": who.actor,
        "sequence": 1,
        "outcome": "success",
        "datacontenttype": "application/json",
        "data": {
            "id": str(user_id),
            "userName": user.user_name,
            "displayName": user.display_name,
            "externalId": user.external_id,
            "active": user.active is not False,
        },
    }
    aggregate = f"{who.tenant}/users/{user_id}"
    await connection.execute(ANNOUNCE, who.tenant, who.actor, aggregate, CREATED, event_id, None, orjson.dumps(event))
