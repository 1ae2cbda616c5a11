"""Odd values in every place of every route: none of them is a failure of the server."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest

from quartet_audit.entries.entry_domain import Search
from quartet_audit.streams import live_routes
from quartet_audit.streams.stream_reading import read_batch
from quartet_common.auth.scopes import SCOPES
from quartet_common.web.cursors import cursor_key, encode_cursor
from quartet_testing.odd_values import find_failures
from quartet_testing.services import new_tenant


async def test_no_value_in_any_place_of_any_route_is_a_failure_of_the_server(
    audit: Any, make_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    monkeypatch.setattr(live_routes, "follow", first_batch)
    assert await find_failures(audit.service, audit.tokens.headers(tenant, SCOPES)) == []


async def first_batch(container: Any, tenant: str, search: Search, *_: object) -> AsyncGenerator[bytes, None]:
    """A live tail that ends after its first look at the log."""
    await read_batch(container, tenant, search, 0)
    yield b": the end\n\n"


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63)])
async def test_a_cursor_that_the_service_did_not_make_is_refused(audit: Any, number: int) -> None:
    tenant = new_tenant()
    context = ["audit.events", tenant, "desc", "", "", "", "", "", ""]
    forged = encode_cursor((datetime(2026, 1, 1, tzinfo=UTC), number), context, cursor_key("a guess"))
    status, answer = await audit.ask(tenant, query={"cursor": forged})
    assert (status, answer["code"]) == (400, "bad_cursor")
