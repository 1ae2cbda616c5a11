"""The question to users, over real HTTP against a server that answers as the users service does."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, request

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.identifiers import new_id
from quartet_common.runtime.service_client import ServiceClient, open_http
from quartet_groups.users_client import UsersClient

CALLER = Caller("acme", "hr-sync")


async def a_token() -> str:
    return "token"


@asynccontextmanager
async def served(app: Quart) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    stop = asyncio.Event()
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.accesslog = config.errorlog = None
    serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        await serving


async def test_many_ids_are_asked_for_in_parts_with_the_callers_names() -> None:
    app = Quart("users")
    seen: list[tuple[int, str, str, str]] = []

    @app.post("/users/lookup")
    async def lookup() -> dict[str, object]:
        ids = (await request.get_json())["ids"]
        headers = request.headers
        seen.append((len(ids), headers["Quartet-Tenant"], headers["Quartet-Actor"], headers["Authorization"]))
        return {"users": [{"id": ids[0], "userName": "b", "displayName": None, "version": 3, "new": True}]}

    ids: list[UUID] = [new_id() for _ in range(1001)]
    async with served(app) as url, open_http() as http:
        found = await UsersClient(ServiceClient("users", url, lambda: http, a_token)).lookup(CALLER, ids)
    assert seen == [(1000, "acme", "hr-sync", "Bearer token"), (1, "acme", "hr-sync", "Bearer token")]
    assert [(user.id, user.user_name, user.version) for user in found] == [(ids[0], "b", 3), (ids[1000], "b", 3)]


async def test_the_scopes_of_many_groups_are_asked_for_in_parts() -> None:
    app = Quart("users")
    seen: list[int] = []

    @app.post("/users/lookup/group-scopes")
    async def group_scopes() -> dict[str, object]:
        seen.append(len((await request.get_json())["ids"]))
        return {"scopes": [f"s{len(seen)}"]}

    ids = frozenset(new_id() for _ in range(1001))
    async with served(app) as url, open_http() as http:
        found = await UsersClient(ServiceClient("users", url, lambda: http, a_token)).scopes_of_groups(CALLER, ids)
    assert seen == [1000, 1]
    assert found == {"s1", "s2"}


async def test_many_names_are_asked_for_in_parts() -> None:
    app = Quart("users")
    seen: list[dict[str, int]] = []

    @app.post("/users/lookup")
    async def lookup() -> dict[str, object]:
        asked = await request.get_json()
        seen.append({name: len(texts) for name, texts in asked.items()})
        return {"users": [{"id": new_id(), "userName": "b", "displayName": None, "version": 3, "externalId": "e"}]}

    async with served(app) as url, open_http() as http:
        client = UsersClient(ServiceClient("users", url, lambda: http, a_token))
        found = await client.lookup_names(CALLER, ["x" * 1000] * 501, ["e"])
    assert seen == [{"userNames": 500}, {"userNames": 1}, {"externalIds": 1}]
    assert [user.external_id for user in found] == ["e"] * 3


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_any_answer_but_200_means_that_users_is_unavailable(status: int) -> None:
    app = Quart("users")

    @app.post("/users/lookup")
    async def lookup() -> tuple[str, int]:
        return "", status

    async with served(app) as url, open_http() as http:
        client = UsersClient(ServiceClient("users", url, lambda: http, a_token))
        with pytest.raises(UnavailableError):
            await client.lookup(CALLER, [new_id()])
