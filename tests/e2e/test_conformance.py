"""scim2-tester, whole: an independent client finds nothing to complain of, and nothing that it cannot try."""

import asyncio

import httpx
from scim2_client.engines.httpx import SyncSCIMClient
from scim2_tester import Status, check_server

from quartet_testing.client import TIMEOUT, Api


async def test_every_check_of_scim2_tester_passes(api: Api) -> None:
    headers = {"Authorization": api.headers["Authorization"]}
    base = f"{str(api.base_url).rstrip('/')}/scim/v2"

    def check() -> list[str]:
        with httpx.Client(base_url=base, headers=headers, timeout=TIMEOUT, trust_env=False) as client:
            results = check_server(SyncSCIMClient(client))
        assert len(results) > 100
        return [
            f"{result.status.name} {result.title} ({result.resource_type}): {result.reason}"
            for result in results
            if result.status is not Status.SUCCESS
        ]

    assert await asyncio.to_thread(check) == []
