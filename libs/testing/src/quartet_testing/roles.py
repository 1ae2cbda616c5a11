"""Roles: an administrator who makes users, roles and grants in a users service inside the test's process."""

from typing import Any, Literal
from uuid import UUID

from quartet_common.messaging.event_types import REVOKED
from quartet_testing.client import USER, USERS
from quartet_testing.services import RunningService

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class RoleAdmin:
    """Speaks for `tenant` with `headers`, which hold a token for tenant:admin and users:write."""

    def __init__(self, users: RunningService, tenant: str, headers: dict[str, str]) -> None:
        self._users = users
        self._tenant = tenant
        self._headers = headers

    async def send(
        self, method: Method, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of an answer; None where there is no body."""
        response = await self._users.client.open(
            path, method=method, headers=self._headers if headers is None else headers, json=body
        )
        sent = await response.get_data()
        return response.status_code, (await response.get_json(force=True)) if sent else None

    async def role(self, name: str, *scopes: str) -> str:
        """Make a role and return its id."""
        return await self._made("/users/roles", {"name": name, "scopes": scopes})

    async def user(self, name: str = "babs", *, logged_in: bool = True, **attributes: Any) -> str:
        """Make a user and return its id; it is logged in, so that it may have tokens."""
        made = await self._made(USERS, {"schemas": [USER], "userName": name, **attributes})
        if logged_in:
            await log_in(self._users, self._tenant, UUID(made))
        return made

    async def give(self, role: str, grantee: object, kind: Literal["User", "Group"] = "User") -> None:
        """Give a role to who does not have it."""
        await self._made(f"/users/roles/{role}/grants", {"type": kind, "id": str(grantee)})

    async def take(self, role: str, grantee: object) -> None:
        """Take a role from who has it."""
        status, answer = await self.send("DELETE", f"/users/roles/{role}/grants/{grantee}")
        assert status == 204, answer

    async def scopes(self, user: object) -> list[str]:
        """The scopes that a user has by roles."""
        status, found = await self.send("GET", f"/users/roles/of/{user}")
        assert status == 200, found
        held: list[str] = found["scopes"]
        return held

    async def revoked(self) -> list[UUID]:
        """The subjects whose tokens were revoked by events, in order."""
        published = await self._users.outbox(self._tenant)
        return [UUID(event.data["id"]) for event in published if event.routing_key == REVOKED]

    async def _made(self, path: str, body: object) -> str:
        status, made = await self.send("POST", path, body)
        assert status == 201, made
        return str(made["id"])


async def log_in(users: RunningService, tenant: str, *people: UUID, hours_ago: float = 0) -> None:
    """Have users be logged in; a session each, which was last used so many hours ago."""
    async with users.container.database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO sessions (tenant_id, id, user_id, client_id, created_at, last_used_at, ends_at, expires_at)
            SELECT $1, gen_random_uuid(), id, 'quartet-cli', used, used, later, later
            FROM unnest($2::uuid[]) AS id,
                 (SELECT now() - make_interval(secs => $3) AS used, now() + interval '1 day' AS later) AS times
            """,
            tenant,
            list(people),
            hours_ago * 3600,
        )
