"""scim2-tester, whole: an independent client finds one documented deviation, and nothing that it cannot try."""

import asyncio
from typing import Any

import httpx
import pytest
from scim2_client import BaseSyncSCIMClient
from scim2_tester import Status, check_server

from quartet_testing.client import TIMEOUT, Api

pytestmark = pytest.mark.local_stack  # it looks for what it made on the first page: the tenant must be its own


DEVIATIONS = [
    # a user is never without `active`: what takes it away from a deactivated user must not let it log in again
    "ERROR check_remove_attribute (User): PATCH modify() did not remove attribute 'active'",
]


class Client(BaseSyncSCIMClient):
    """The oracle's client, over the HTTP library that the project has already."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__()
        self._http = http

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return str(self._http.build_request("GET", endpoint).url).startswith(str(self._http.base_url))

    def _parse_json(self, response: Any) -> Any:
        return response.json()

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send the request as it is."""
        return self._http.request(method, url, **options)


async def test_every_check_of_scim2_tester_passes(api: Api) -> None:
    headers = {"Authorization": api.headers["Authorization"]}
    base = f"{str(api.base_url).rstrip('/')}/scim/v2"

    def check() -> list[str]:
        with httpx.Client(base_url=base, headers=headers, timeout=TIMEOUT, trust_env=False) as http:
            results = check_server(Client(http))
        assert len(results) > 100
        return [
            f"{result.status.name} {result.title} ({result.resource_type}): {result.reason}"
            for result in results
            if result.status is not Status.SUCCESS
        ]

    assert await asyncio.to_thread(check) == DEVIATIONS
