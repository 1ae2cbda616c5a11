"""The runbook: a test runs each command in the documents for operators."""

import pytest

from quartet_testing.runbook import ELSEWHERE, Command, commands, is_test


def test_the_runbook_has_commands_of_a_shell_and_of_sql() -> None:
    found = commands()
    assert Command("./quartet status", is_sql=False) in found
    assert Command("SELECT pg_promote();", is_sql=True) in found
    assert len(found) > 30


@pytest.mark.parametrize(("command", "test"), ELSEWHERE.items())
def test_a_command_that_another_test_runs_is_in_the_runbook_and_the_test_exists(command: str, test: str) -> None:
    assert command in {found.text for found in commands()}
    assert is_test(test)
