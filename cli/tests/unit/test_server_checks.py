"""What `doctor` finds: certificates before their end, clocks that differ, disks that fill."""

from email.utils import formatdate

import pytest

from quartet_cli.server_checks import clock, expiry
from quartet_cli.stack_checks import disk

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("ahead", "result", "text"),
    [
        (0, "ok", "the same here and there"),
        (20, "ok", "differs by 19 s"),
        (-20, "ok", "differs by 20 s"),
        (40, "problem", "this machine is 39 s ahead of the server"),
        (-40, "problem", "this machine is 40 s behind the server"),
    ],
)
def test_clocks_are_compared(ahead: float, result: str, text: str) -> None:
    found = clock(formatdate(NOW, usegmt=True), NOW + ahead, NOW + ahead)
    assert (found.result, found.text) == (result, text)
    assert ("NTP" in found.advice) == (result == "problem")


def test_a_slow_response_is_no_difference_of_clocks() -> None:
    assert clock(formatdate(NOW + 5, usegmt=True), NOW, NOW + 9).text == "the same here and there"


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_server_without_a_time_is_a_warning(date: str | None) -> None:
    assert clock(date, NOW, NOW).result == "warning"


@pytest.mark.parametrize(("days", "result"), [(0.5, "warning"), (13.9, "warning"), (14.0, "ok"), (90.0, "ok")])
def test_a_certificate_has_to_be_renewed_in_time(days: float, result: str) -> None:
    assert expiry(days).result == result


@pytest.mark.parametrize(("free", "result"), [(0.9, "problem"), (1.0, "warning"), (4.9, "warning"), (5.0, "ok")])
def test_a_disk_that_fills_is_found(free: float, result: str) -> None:
    assert disk(free).result == result
