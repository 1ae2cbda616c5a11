"""Shares of searches: those of one tenant without an index keep out neither other tenants nor its other requests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quartet_scim_http.list_store import select_page
from quartet_testing.conditions import eventually
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.search import user_source

MANY = 12
UNINDEXED = {"filter": 'nickName co "a"'}


@pytest.fixture
async def service(config_for: ConfigFor[UsersConfig]) -> AsyncIterator[RunningService]:
    """A service of the test's own, in which searches without an index wait for their turn for 3 s."""
    async with run_service(SERVICE, config_for(UsersConfig).model_copy(update={"query_timeout": 3.0})) as running:
        yield running


async def search(service: RunningService, tenant: str, path: str = "/scim/v2/Users", **query: str) -> Any:
    headers = service.tokens.headers(tenant, ["users:read"])
    return await service.client.get(path, headers=headers, query_string=query)


async def test_searches_without_an_index_are_shared_between_tenants(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, other, go_on = new_tenant(), new_tenant(), asyncio.Event()
    searches, connections = service.container.searches, service.container.database.connections

    async def slow(connection: Any, holder: str, *arguments: Any) -> Any:
        if holder == tenant and "nickName" in str(arguments):
            await go_on.wait()
        return await select_page(connection, holder, *arguments)

    monkeypatch.setattr(user_source, "select_page", slow)
    requests = [asyncio.create_task(search(service, tenant, **UNINDEXED)) for _ in range(MANY)]

    async def all_wait() -> bool:
        return searches.used + searches.waiting == MANY

    await eventually(all_wait, "all searches run or wait")
    assert searches.used == searches.share == 2
    assert connections.used <= 2, "a search that waits holds no connection"
    for holder, query in ((other, UNINDEXED), (tenant, {"filter": 'userName eq "a"'}), (tenant, {})):
        assert (await search(service, holder, **query)).status_code == 200

    async def the_rest_is_refused() -> bool:
        return sum(one.done() for one in requests) == MANY - 2

    await eventually(the_rest_is_refused, "the searches beyond the share are refused")
    go_on.set()
    answers = await asyncio.gather(*requests)
    assert sorted(one.status_code for one in answers) == [200] * 2 + [429] * (MANY - 2)
    refused = next(one for one in answers if one.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
    body = await refused.get_json(force=True)
    assert body["status"] == "429"
    assert "searches without an index" in body["detail"]
    assert searches.refusals["share"] == MANY - 2
    assert (searches.used, searches.waiting, searches.holders) == (0, 0, 0)
