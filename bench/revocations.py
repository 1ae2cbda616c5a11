"""Revocations: seconds from the answer of a revocation until each service refuses the token, idle and during a Bulk.

Run `.venv/bin/python bench/revocations.py [USERS]` (makes a stack of its own and removes it). Tokens are revoked one
after the other and shown to all four services every 10 ms; first idle, then while USERS users are
created by Bulks of 1,000, and until all of their events have been taken by everybody.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from bulk import CREATED, PER_BULK, a_bulk, send_all

from quartet_cli import tokens
from quartet_cli.layout import SERVICES
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import Api
from quartet_testing.limits import WIDE

IDLE = 60
INTERVAL = 0.01
TENANT = "revoked"


class Revoking:
    """Revokes tokens, and looks how long each service takes them."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        self._http = http
        self._auth = (tokens.CLIENT, tokens.own_secret(stack.home))
        self.took: dict[str, list[float]] = {service: [] for service in SERVICES}

    async def once(self) -> None:
        """One token. Raises AssertionError if it is not good before."""
        form = {"grant_type": "client_credentials", "tenant": TENANT, "scope": "events:manage"}
        given = await self._http.post("/oauth2/token", data=form, auth=self._auth)
        assert given.status_code == 200, given.text
        token = given.json()["access_token"]
        assert {await self._status(service, token) for service in SERVICES} == {200}
        answer = await self._http.post("/oauth2/revoke", data={"token": token}, auth=self._auth)
        assert answer.status_code == 200, answer.text
        await asyncio.gather(*(self._until_refused(service, token, time.perf_counter()) for service in SERVICES))

    async def _until_refused(self, service: str, token: str, begun: float) -> None:
        while await self._status(service, token) != 401:  # noqa: ASYNC110  # asking is what is measured
            await asyncio.sleep(INTERVAL)
        self.took[service].append(time.perf_counter() - begun)

    async def _status(self, service: str, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await self._http.get(f"/{service}/rabbitmq/outbox", headers=headers)).status_code

    def show(self, name: str) -> None:
        """Print a line for each service, and forget what was measured."""
        for service, took in self.took.items():
            took.sort()
            p99 = took[len(took) * 99 // 100]
            print(f"{name:<12}{service:<10}{len(took):>6}{statistics.median(took):>8.2f}{p99:>8.2f}{took[-1]:>8.2f}")
            took.clear()


async def until_counted(api: Api, number: int) -> None:
    """Wait until the metrics have counted all users; asks seldom, so as not to be in the way."""
    while await api.count(CREATED) < number:  # noqa: ASYNC110  # the count is in another process
        await asyncio.sleep(1)


async def measure(stack: Stack, users: int) -> None:
    """Idle, then during Bulks."""
    await asyncio.to_thread(stack.token, TENANT)
    token = await asyncio.to_thread(stack.token, "bulk")
    bulks = [a_bulk() for _ in range(users // PER_BULK)]
    print(f"{'':<12}{'at':<10}{'tokens':>6}{'p50 s':>8}{'p99 s':>8}{'max s':>8}")
    async with httpx.AsyncClient(base_url=stack.url, timeout=60, trust_env=False) as http, Api(stack.url, token) as api:
        revoking = Revoking(stack, http)
        for _ in range(IDLE):
            await revoking.once()
        revoking.show("idle")
        writing = asyncio.ensure_future(send_all(stack.url, token, bulks, 2))
        while not writing.done():
            await revoking.once()
        revoking.show("Bulk")
        seconds, _ = writing.result()
        counting = asyncio.ensure_future(until_counted(api, len(bulks) * PER_BULK))
        while not counting.done():
            await revoking.once()
        if revoking.took["users"]:
            revoking.show("catching up")
        print(f"{users / seconds:.0f} users/s at the same time")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Seconds until a revoked token is refused.")
    parser.add_argument("users", type=int, nargs="?", default=50_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.up()
            asyncio.run(measure(stack, arguments.users))
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    main()
