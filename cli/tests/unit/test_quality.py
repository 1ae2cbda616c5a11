"""What lint and test run over."""

import pytest

from quartet_cli import quality
from quartet_cli.errors import QuartetError


def test_unit_means_the_unit_tests_of_every_project() -> None:
    chosen = quality.paths("unit")
    assert chosen
    assert all(path.name == "unit" for path in chosen)


def test_without_a_word_everything_is_run() -> None:
    assert {path.parts[0] for path in quality.paths(None)} >= {"cli"}


def test_a_word_that_names_nothing_is_an_error_and_not_an_empty_run() -> None:
    with pytest.raises(QuartetError, match=r"No such tests: nonsense\. The tests are: unit,"):
        quality.selection("nonsense", [], url=None, token=None)


def test_another_stack_is_tested_from_outside_only() -> None:
    chosen = quality.selection("e2e", ["-x"], url="http://127.0.0.1:9", token="t")
    assert chosen.arguments == ["tests/e2e", "-m", "not local_stack", "-x"]
    assert chosen.environment == {"QUARTET_E2E_URL": "http://127.0.0.1:9", "QUARTET_E2E_TOKEN": "t"}


@pytest.mark.parametrize(("what", "token"), [("e2e", None), ("unit", "t")])
def test_another_stack_needs_a_token_and_takes_no_other_tests(what: str, token: str | None) -> None:
    with pytest.raises(QuartetError, match="--url"):
        quality.selection(what, [], url="http://127.0.0.1:9", token=token)


def test_slow_tests_are_left_out_of_the_whole_and_are_a_part_of_their_own() -> None:
    whole, slow, part = (quality.selection(what, ["-x"], url=None, token=None) for what in (None, "slow", "audit"))
    at = whole.arguments.index("-m")
    assert whole.arguments[at:] == ["-m", "not slow", *quality.SIDE_BY_SIDE, "-x"]
    assert slow.arguments == [*whole.arguments[:at], "-m", "slow", "-x"]
    assert part.arguments == ["services/audit/tests", "-x"]
