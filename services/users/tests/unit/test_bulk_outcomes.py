"""Results of single operations of a Bulk request."""

import pytest

from quartet_common.core.errors import ContendedError, UnavailableError
from quartet_common.core.fair_share import CapacityExceededError, ShareExceededError
from quartet_scim.bulk import Outcome
from quartet_scim.errors import not_found
from quartet_scim_http.bulk_outcomes import BROKEN, outcome_of


async def fail(error: Exception) -> Outcome:
    raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (not_found(), 404),
        (ShareExceededError("passwords"), 429),
        (ContendedError("postgresql"), 503),
        (CapacityExceededError("passwords"), 503),
    ],
)
async def test_an_error_with_a_status_is_the_result_of_its_operation(error: Exception, status: int) -> None:
    outcome = await outcome_of(fail(error))
    assert (outcome.status, outcome.error and outcome.error.detail) == (status, getattr(error, "detail", None))


async def test_an_unknown_error_is_logged_and_hidden(caplog: pytest.LogCaptureFixture) -> None:
    assert await outcome_of(fail(RuntimeError("secret"))) == Outcome(500, None, BROKEN)
    assert "an operation of a bulk failed" in caplog.text


async def test_a_lost_server_ends_the_request() -> None:
    with pytest.raises(UnavailableError):
        await outcome_of(fail(UnavailableError("postgresql")))
