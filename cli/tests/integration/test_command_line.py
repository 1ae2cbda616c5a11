"""The commands as a person types them, where no stack runs."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from quartet_cli.state import State

COMMANDS = (
    *("up", "status", "logs", "restart", "down", "reset", "demo", "test", "lint"),
    *("token", "login", "whoami", "logout", "tenant", "client", "scim-token", "keys"),
)


def quartet(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QUARTET_HOME": str(home), **variables}
    command = [sys.executable, "-m", "quartet_cli", *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "--help").stdout
    named = {line.split()[1] for line in shown.splitlines() if line.startswith("│") and len(line.split()) > 2}
    assert [command for command in COMMANDS if command not in named] == []


def test_status_of_a_stack_that_never_ran_exits_with_3(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "status")
    assert (shown.returncode, shown.stderr) == (3, "")
    assert "./quartet up" in shown.stdout


def test_status_as_json_is_json_whatever_the_state(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "status", "--json")
    assert shown.returncode == 3
    assert json.loads(shown.stdout) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("token",),
        ("client", "create", "payroll", "--scope", "users:read"),
        ("scim-token", "create", "okta"),
        ("demo",),
        ("restart", "users"),
    ],
)
def test_what_needs_a_running_stack_says_so_in_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    shown = quartet(tmp_path, *arguments)
    assert shown.returncode == 3
    assert shown.stdout == ""
    assert shown.stderr == "quartet: the stack is not running; start it with: ./quartet up\n"


def test_no_secret_goes_to_a_proxy_of_the_environment(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        variables = {"HTTP_PROXY": address, "http_proxy": address, "NO_PROXY": "", "no_proxy": ""}
        shown = quartet(tmp_path, "token", "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="x", **variables)
        with pytest.raises(BlockingIOError):  # nobody has come
            proxy.accept()
    assert "does not answer" in shown.stderr


def test_keys_of_a_client_that_are_none_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for text in (None, "{"):
        if text is not None:
            path.write_text(text)
        shown = quartet(tmp_path, "client", "create", "payroll", "--scope", "users:read", "--keys", str(path))
        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr.startswith(f"quartet: {path} holds no JWK Set: ")


def test_a_token_is_not_printed_when_there_is_none(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "token", "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="x")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "http://127.0.0.1:1 does not answer" in shown.stderr


def test_a_tenant_is_not_deleted_without_a_yes(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "tenant", "delete", "acme", "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="x")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "tenant delete --yes" in shown.stderr


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "up", QUARTET_PORT="http")
    assert (shown.returncode, shown.stderr) == (1, "quartet: QUARTET_PORT is no port: http\n")


def test_down_where_nothing_runs_is_no_error_and_makes_nothing(tmp_path: Path) -> None:
    assert quartet(tmp_path / "home", "down").returncode == 0
    assert not (tmp_path / "home").exists()


def test_reset_without_a_terminal_asks_for_yes_and_removes_nothing(tmp_path: Path) -> None:
    State().save(tmp_path / "state.json")
    shown = quartet(tmp_path, "reset")
    assert shown.returncode == 1
    assert "reset --yes" in shown.stderr
    assert (tmp_path / "state.json").exists()


def test_reset_helps_out_of_a_damaged_state(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/state.json").write_text("{")
    (tmp_path / "home/data").mkdir()
    assert "./quartet reset" in quartet(tmp_path / "home", "status").stderr
    assert quartet(tmp_path / "home", "reset", "--yes").returncode == 0
    assert not (tmp_path / "home").exists()


def test_an_unknown_word_for_tests_is_refused_before_anything_runs(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "test", "nonsense")
    assert shown.returncode == 1
    assert "there are no tests of nonsense" in shown.stderr
