"""The words for what a process does."""

from pathlib import Path

import pytest

from quartet_cli.programs import Program
from quartet_cli.status import age, describe
from quartet_cli.supervisor import Process

PROGRAM = Program("one", ("/bin/true",), Path("/"), url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        ("RUNNING", None, "running"),
        ("STARTING", None, "running"),
        ("STARTING", "port 1: refused", "starting"),
        ("RUNNING", "port 1: refused", "unhealthy"),
        ("BACKOFF", None, "crashed"),
        ("EXITED", None, "crashed"),
        ("FATAL", None, "failed"),
        ("STOPPED", None, "stopped"),
    ],
)
def test_a_state_has_one_word_for_people(state: str, reason: str | None, word: str) -> None:
    process = Process("one", state, 7, started=0, uptime=3, detail="")
    assert describe(PROGRAM, process, reason, 0).state == word


def test_only_a_running_process_is_healthy() -> None:
    process = Process("one", "RUNNING", 7, started=0, uptime=3, detail="")
    assert describe(PROGRAM, process, None, 0).healthy
    assert not describe(PROGRAM, process, "down", 0).healthy
    assert not describe(PROGRAM, None, None, 0).healthy


def test_the_status_of_an_unhealthy_process_has_the_reason_and_that_of_a_crashed_one_its_exit() -> None:
    alive = Process("one", "RUNNING", 7, started=0, uptime=3, detail="")
    crashed = Process("one", "BACKOFF", None, started=0, uptime=0, detail="exited too quickly")
    assert describe(PROGRAM, alive, "503 database", 0).detail == "503 database"
    assert describe(PROGRAM, crashed, None, 0).detail == "exited too quickly"


@pytest.mark.parametrize(("seconds", "text"), [(0, "00:00:00"), (3723, "01:02:03"), (172800, "2.0 d")])
def test_ages_are_short(seconds: float, text: str) -> None:
    assert age(seconds) == text
