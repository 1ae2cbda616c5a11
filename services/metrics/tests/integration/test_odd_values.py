"""Odd values in every place of every route: none of them is a failure of the server."""

from quartet_common.auth.scopes import SCOPES
from quartet_testing.odd_values import find_failures
from quartet_testing.services import RunningService, new_tenant


async def test_no_value_in_any_place_of_any_route_is_a_failure_of_the_server(metrics: RunningService) -> None:
    headers = metrics.tokens.headers(new_tenant(), SCOPES)
    assert await find_failures(metrics, headers) == []
