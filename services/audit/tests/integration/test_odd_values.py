"""Odd values in every place of every route: none of them is a failure of the server."""

from datetime import UTC, datetime
from typing import Any

import pytest

from quartet_common.auth.scopes import SCOPES
from quartet_common.web.cursors import cursor_key, encode_cursor
from quartet_testing.odd_values import find_failures
from quartet_testing.services import new_tenant


async def test_no_value_in_any_place_of_any_route_is_a_failure_of_the_server(audit: Any) -> None:
    headers = audit.tokens.headers(new_tenant(), SCOPES)
    assert await find_failures(audit.service, headers) == []


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63)])
async def test_a_cursor_that_the_service_did_not_make_is_refused(audit: Any, number: int) -> None:
    tenant = new_tenant()
    context = ["audit.events", tenant, "desc", "", "", "", "", "", ""]
    forged = encode_cursor((datetime(2026, 1, 1, tzinfo=UTC), number), context, cursor_key("a guess"))
    status, answer = await audit.ask(tenant, query={"cursor": forged})
    assert (status, answer["code"]) == (400, "bad_cursor")
