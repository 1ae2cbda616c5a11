"""Client: a tenant's view of a running stack through its public URLs, with the few calls that most tests make."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from quartet_testing.conditions import PATIENCE, eventually

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
USERS = "/scim/v2/Users"
GROUPS = "/scim/v2/Groups"
ORIGIN = "https://app.example.com"
"""The one whose pages may call the test stack from browsers."""
TIMEOUT = 20.0
PAGE = 500

Document = dict[str, Any]

TokenFor = Callable[..., Awaitable[str]]
"""`await token_for(tenant, scope)`: a token of the launcher's client; all of its scopes without one."""


def unique(prefix: str) -> str:
    """A name that nothing else has, in this run or an earlier one on the same tenant."""
    return f"{prefix}-{uuid4().hex[:16]}"


def user_document(**attributes: Any) -> Document:
    """A SCIM User to send, with a userName of its own unless one is given."""
    return {"schemas": [USER], "userName": f"{unique('bjensen')}@example.com", **attributes}


def group_document(members: Iterable[str] = (), **attributes: Any) -> Document:
    """A SCIM Group to send, with members by their ids."""
    document = {"schemas": [GROUP], "displayName": unique("Tour Guides"), **attributes}
    return document | {"members": [{"value": member} for member in members]}


def patch_document(*operations: Document) -> Document:
    """A PatchOp message to send."""
    return {"schemas": [PATCH], "Operations": list(operations)}


def bulk_document(*operations: Document, **others: Any) -> Document:
    """A BulkRequest to send."""
    return {"schemas": [BULK], "Operations": list(operations), **others}


class Api(httpx.AsyncClient):
    """An HTTP client for `url` that speaks for the tenant of `token`."""

    def __init__(self, url: str, token: str, **options: Any) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        super().__init__(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False, **options)
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.window = {
            "from": (hour - timedelta(hours=1)).isoformat(),
            "to": (hour + timedelta(hours=3)).isoformat(),
        }

    async def create_user(self, **attributes: Any) -> Document:
        """Create a user and return it as answered. Raises AssertionError unless the answer is 201."""
        return await self._created(USERS, user_document(**attributes))

    async def create_group(self, members: Iterable[str] = (), **attributes: Any) -> Document:
        """Create a group and return it as answered. Raises AssertionError unless the answer is 201."""
        return await self._created(GROUPS, group_document(members, **attributes))

    async def entries(self, **filters: str) -> list[Document]:
        """All audit entries of the last hours that pass `filters` (action, actor, resource, outcome), newest first."""
        found: list[Document] = []
        parameters: dict[str, str | int] = {**self.window, **filters, "limit": PAGE}
        while True:
            page = await self._read("/audit/events", parameters)
            found += page["events"]
            if page["next"] is None:
                return found
            parameters["cursor"] = page["next"]

    async def entries_of(self, resource: str, action: str) -> list[Document]:
        """The audit entries of what was done to one resource, once there is one."""
        return await eventually(lambda: self.entries(resource=resource, action=action), f"{action} of {resource}")

    async def count(self, action: str) -> int:
        """How often `action` was counted in the last hours."""
        answer = await self._read("/metrics/query", {**self.window, "metric": "events", "by": "type"})
        points = [series["points"] for series in answer["series"] if series["key"] == action]
        return sum(point["value"] for some in points for point in some)

    async def counted(self, action: str, number: int, timeout: float = PATIENCE) -> None:
        """Wait until `action` was counted `number` times. Raises AssertionError when it was not, or is more."""

        async def probe() -> bool:
            return await self.count(action) >= number

        await eventually(probe, f"{number} times {action} in the metrics", timeout)
        found = await self.count(action)
        assert found == number, f"{action} was counted {found} times instead of {number}"

    async def settled_count(self, action: str) -> int:
        """The count of `action` once everything that the audit log has of it was counted too.

        Other tests on the same tenant leave events that are still on their way.
        """
        logged = len(await self.entries(action=action))

        async def probe() -> bool:
            return await self.count(action) >= logged

        await eventually(probe, f"all {action} in the metrics")
        return await self.count(action)

    async def _created(self, path: str, document: Document) -> Document:
        answer = await self.post(path, json=document)
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
        created: Document = answer.json()
        return created

    async def _read(self, path: str, parameters: Mapping[str, str | int]) -> Document:
        answer = await self.get(path, params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        body: Document = answer.json()
        return body
