"""Reading logs."""

from pathlib import Path

import pytest

from quartet_cli import logs
from quartet_cli.bringup import exits, tail
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "logs").mkdir()
    for name in ("users-api", "users-worker", "redis"):
        (tmp_path / f"logs/{name}.log").write_text("".join(f"{name} {number}\n" for number in range(100)))
    return Home(tmp_path)


def test_the_last_lines_are_read(home: Home) -> None:
    assert tail(home.logs / "redis.log", 2) == ["redis 98", "redis 99"]


def test_a_log_that_is_not_there_has_no_lines(home: Home) -> None:
    assert tail(home.logs / "nothing.log", 2) == []


def test_a_service_name_selects_its_processes(home: Home) -> None:
    assert set(logs.files(home, "users")) == {"users-api", "users-worker"}


def test_a_process_name_selects_one_process(home: Home) -> None:
    assert set(logs.files(home, "redis")) == {"redis"}


def test_the_error_of_an_unknown_log_lists_the_known_ones(home: Home) -> None:
    with pytest.raises(QuartetError, match="redis, users-api, users-worker"):
        logs.files(home, "user")


def test_lines_are_followed_when_they_are_whole_and_across_a_rotation(home: Home) -> None:
    path = home.logs / "redis.log"
    reader = logs.Reader(path)
    with path.open("a") as file:
        file.write("new\nhalf")
        file.flush()
        assert reader.lines() == ["new"]
        file.write(" line\n")
    assert reader.lines() == ["half line"]
    path.rename(path.with_suffix(".log.1"))
    path.write_text("after the rotation\n")
    assert reader.lines() == []
    assert reader.lines() == ["after the rotation"]


def test_exits_are_read_from_the_log_of_this_run_only(home: Home) -> None:
    (home.logs / "supervisord.log").write_text(
        "x INFO supervisord started with pid 1\n"
        "x WARN exited: redis (exit status 9; not expected)\n"
        "x INFO supervisord started with pid 2\n"
        "x WARN exited: redis (terminated by SIGKILL (core dumped); not expected)\n"
        "x INFO exited: users-api (exit status 0; expected)\n"
        "x WARN exited: redis (exit status 2; not expected)\n"
        "x INFO stopped: redis (terminated by SIGTERM)\n"
    )
    assert exits(home) == {
        "redis": ["terminated by SIGKILL (core dumped)", "exit status 2"],
        "users-api": ["exit status 0"],
    }
