"""Settings of a stack: the file in its home, and the environment above it."""

from pathlib import Path

import pytest

from quartet_cli import reset, settings
from quartet_cli.errors import QuartetError, SettingsDifferError
from quartet_cli.layout import Home
from quartet_cli.stack import Stack
from quartet_cli.state import State


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.env"
    path.write_text(text)
    return path


def test_lines_are_settings_and_comments_are_not(tmp_path: Path) -> None:
    path = write(
        tmp_path, "# QUARTET_A=1\n\nQUARTET_LOG_LEVEL = DEBUG\nexport QUARTET_CORS_ORIGINS='[\"https://a.b\"]'\n"
    )
    assert settings.read(path) == {"QUARTET_LOG_LEVEL": "DEBUG", "QUARTET_CORS_ORIGINS": '["https://a.b"]'}


def test_no_file_is_no_settings_and_the_example_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    assert settings.read(path) == {}
    settings.write_example(path)
    assert path.read_text() == settings.EXAMPLE
    assert settings.read(path) == {}
    path.write_text("QUARTET_LOG_LEVEL=DEBUG\n")
    settings.write_example(path)
    assert settings.read(path) == {"QUARTET_LOG_LEVEL": "DEBUG"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("QUARTET_LOG_LEVEL", "expected NAME=VALUE, got 'QUARTET_LOG_LEVEL'"),
        ("QUARTET_CLIENT_SECRET=x", "QUARTET_CLIENT_SECRET is a secret"),
        ("QUARTET_DATABASE_URL=x", "QUARTET_DATABASE_URL cannot be set here"),
        ("PATH=/bin", "PATH cannot be set here"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(QuartetError, match=f"settings.env, line 2: {reason}"):
        settings.read(write(tmp_path, f"\n{line}\n"))


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "QUARTET_LOG_LEVEL=DEBUG\nQUARTET_LIMIT_USER=off\n")
    monkeypatch.setenv("QUARTET_LOG_LEVEL", "ERROR")
    found = Stack(tmp_path).extra_environment
    assert (found["QUARTET_LOG_LEVEL"], found["QUARTET_LIMIT_USER"]) == ("ERROR", "off")


def test_the_error_of_a_running_stack_with_other_settings_names_them_and_the_command(tmp_path: Path) -> None:
    State(ports={"proxy": 8080}, settings={"QUARTET_LOG_LEVEL": "INFO"}).save(tmp_path / "state.json")
    stack = Stack(tmp_path, 9000, extra_environment={"QUARTET_LOG_LEVEL": "DEBUG", "QUARTET_LIMIT_USER": "off"})
    with pytest.raises(SettingsDifferError) as caught:
        stack._require_same_settings()
    assert str(caught.value).splitlines() == [
        "The running stack has other settings, which are not changed:",
        "  QUARTET_LOG_LEVEL: INFO, wanted DEBUG",
        "  QUARTET_LIMIT_USER: not set, wanted off",
        "  QUARTET_PORT: 8080, wanted 9000",
        "To apply the new ones, run: ./quartet down && ./quartet up",
    ]


def test_settings_that_are_the_same_or_not_mentioned_are_no_difference(tmp_path: Path) -> None:
    State(ports={"proxy": 8080}, settings={"QUARTET_LOG_LEVEL": "INFO"}).save(tmp_path / "state.json")
    Stack(tmp_path, extra_environment={"QUARTET_LOG_LEVEL": "INFO"})._require_same_settings()
    Stack(tmp_path, 8080)._require_same_settings()


def test_reset_keeps_the_settings_of_a_person_and_removes_the_example(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    settings.write_example(home.settings_file)
    assert home.settings_file in reset.belongings(home)
    home.settings_file.write_text("QUARTET_LOG_LEVEL=DEBUG\n")
    reset.remove(home)
    assert [path.name for path in home.path.iterdir()] == ["settings.env"]


@pytest.mark.parametrize("given", ["0d", "d", "400 d", "-1", "1m", "400d -x"])
def test_a_retention_that_the_engine_does_not_read_is_refused(given: str) -> None:
    with pytest.raises(QuartetError, match="QUARTET_METRICS_ENGINE_RETENTION must be a number of months"):
        settings.engine_retention({"QUARTET_METRICS_ENGINE_RETENTION": given})
    assert settings.engine_retention({}) == "400d"
    assert settings.engine_retention({"QUARTET_METRICS_ENGINE_RETENTION": "13"}) == "13"
