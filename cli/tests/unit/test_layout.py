"""Where everything lies."""

import os
from pathlib import Path

import pytest

from quartet_cli import reset
from quartet_cli.errors import QuartetError
from quartet_cli.layout import LONGEST_SOCKET_PATH, Home, home_path
from quartet_cli.state import State


def test_the_home_is_in_the_checkout_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUARTET_HOME", raising=False)
    assert home_path().name == ".quartet"
    monkeypatch.setenv("QUARTET_HOME", "relative")
    assert home_path() == Path.cwd() / "relative"


def test_secrets_logs_and_run_time_files_are_closed_to_others(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    assert home.logs.stat().st_mode & 0o777 == 0o700
    passable = 0o711 if os.getuid() == 0 else 0o700  # not to be listed, however
    assert {folder.stat().st_mode & 0o777 for folder in (home.path, home.secrets, home.run)} == {passable}


def test_a_path_too_long_for_a_socket_has_its_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    home = Home(tmp_path / ("long" * 30))
    home.prepare()
    assert len(os.fsencode(home.socket)) < len(os.fsencode(home.run / "supervisor.sock"))
    assert home.socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_short_path_keeps_its_socket_in_the_home() -> None:
    home = Home(Path("/srv/quartet"))
    assert home.socket == home.run / "supervisor.sock"
    assert len(os.fsencode(home.socket)) <= LONGEST_SOCKET_PATH


def test_a_path_that_configurations_cannot_hold_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    home = Home(tmp_path / "a # b")
    with pytest.raises(QuartetError, match="QUARTET_HOME"):
        home.prepare()
    assert not home.path.exists()


def test_reset_removes_what_up_made_and_nothing_else(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    State(postgres_data=str(home.data / "postgres")).save(home.state_file)
    (home.path / "mine.txt").write_text("keep")
    reset.remove(home)
    assert [path.name for path in home.path.iterdir()] == ["mine.txt"]


def test_reset_removes_the_home_itself_when_nothing_else_is_in_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    reset.remove(home)
    assert not home.path.exists()


def test_reset_never_follows_a_damaged_state_out_of_its_own_folders(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    outside = tmp_path / "outside"
    outside.mkdir()
    State(postgres_data=str(outside)).save(home.state_file)
    reset.remove(home)
    assert outside.is_dir()
