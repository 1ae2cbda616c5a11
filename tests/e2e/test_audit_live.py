"""The live tail through the proxy: an entry arrives at once, and the proxy keeps nothing back."""

import json

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api

pytestmark = pytest.mark.local_stack


async def test_an_entry_comes_through_the_proxy_while_the_response_goes_on(api: Api, stack: Stack) -> None:
    user = await api.create_user()
    [entry] = await api.entries_of(user["id"], "users.user.created")
    resumed = {"Last-Event-ID": str(entry["sequence"])}
    async with api.stream("GET", "/audit/events/live", params={"action": "users.user.*"}, headers=resumed) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith(":"), "the beginning"
        made = await api.create_user()
        async for line in lines:
            if line.startswith("data: ") and json.loads(line[6:])["resource"]["id"] == made["id"]:
                break
    [created] = await api.entries_of(made["id"], "users.user.created")
    assert json.loads(line[6:]) == created
