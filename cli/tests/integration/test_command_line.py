"""The commands as a person types them, where no stack runs."""

import json
import os
import pty
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT
from quartet_cli.state import State

COMMANDS = (
    *("up", "status", "logs", "restart", "down", "reset", "demo", "test", "lint"),
    *("token", "login", "whoami", "logout", "profiles", "tenants", "clients", "scim-tokens", "keys", "events", "audit"),
    *("users", "groups", "members", "check", "origins", "metrics", "doctor", "version", "completion"),
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
        ("clients", "create", "payroll", "--scope", "users:read"),
        ("scim-tokens", "create", "okta"),
        ("demo",),
        ("restart", "users"),
    ],
)
def test_commands_that_need_a_running_stack_fail_with_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    shown = quartet(tmp_path, *arguments)
    assert shown.returncode == 3
    assert shown.stdout == ""
    assert shown.stderr == "quartet: The stack is not running. Run: ./quartet up\n"


def test_no_secret_goes_to_a_proxy_of_the_environment(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        variables = {"HTTP_PROXY": address, "http_proxy": address, "NO_PROXY": "", "no_proxy": ""}
        shown = quartet(tmp_path, "token", "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="x", **variables)
        with pytest.raises(BlockingIOError):  # nobody has come
            proxy.accept()
    assert "No answer from http://127.0.0.1:1" in shown.stderr


def test_keys_of_a_client_that_are_none_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for text in (None, "{"):
        if text is not None:
            path.write_text(text)
        arguments = ("clients", "create", "payroll", "--scope", "users:read", "--keys", str(path))
        shown = quartet(tmp_path, *arguments, "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="x")
        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr.startswith(f"quartet: {path} is not a JWK Set: ")


def test_doctor_says_that_the_stack_of_a_checkout_is_not_running(tmp_path: Path) -> None:
    shown = quartet(tmp_path / "home", "doctor")
    assert (shown.returncode, shown.stderr) == (7, "")
    lines = shown.stdout.splitlines()
    assert lines[-2:] == ["problem  stack        is not running", f"{'':22}Run: ./quartet up"]
    assert lines[0].split()[:2] == ["ok", "programs"]
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colours_unless_no_color_is_set(tmp_path: Path, no_color: str) -> None:
    ours, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color, "QUARTET_CLIENT_SECRET": "x"}
    command = [sys.executable, "-m", "quartet_cli", "token", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(command, check=False, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert (done.returncode, "No answer from http://127.0.0.1:1" in shown) == (1, True)
    assert ("\x1b[31m" in shown) == (not no_color)


def test_a_token_is_not_printed_when_there_is_none(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "token", "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="x")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "No answer from http://127.0.0.1:1" in shown.stderr


def test_a_tenant_is_not_deleted_without_a_yes(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "tenants", "delete", "acme", "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="x")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "tenants delete --yes" in shown.stderr


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "8080.0", "٨٠"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    shown = quartet(tmp_path, "up", QUARTET_PORT=port)
    assert (shown.returncode, shown.stderr) == (1, f"quartet: QUARTET_PORT must be 1-65535, got {port!r}\n")


def test_a_setting_that_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "settings.env").write_text("# mine\n\nQUARTET_LOG_LEVEL DEBUG\n")
    shown = quartet(tmp_path, "up")
    place = f"{tmp_path}/settings.env, line 3"
    assert (shown.returncode, shown.stderr) == (
        1,
        f"quartet: {place}: expected NAME=VALUE, got 'QUARTET_LOG_LEVEL DEBUG'\n",
    )


def test_the_port_of_the_settings_file_is_used_unless_the_environment_has_another(tmp_path: Path) -> None:
    (tmp_path / "settings.env").write_text("QUARTET_PORT=70000\n")
    assert "got '70000'" in quartet(tmp_path, "up").stderr
    assert "got '80000'" in quartet(tmp_path, "up", QUARTET_PORT="80000").stderr


def test_the_version_is_shown(tmp_path: Path) -> None:
    assert quartet(tmp_path, "--version").stdout == f"quartet {version('quartet-cli')}\n"


def test_help_documents_every_exit_code(tmp_path: Path) -> None:
    shown = " ".join(quartet(tmp_path, "--help").stdout.split())
    for code in (
        "0 success",
        "1 error",
        "2 wrong usage",
        "3 the stack, or a part",
        "4 the running stack",
        "5 an audit log",
        "6 `check`",
        "7 `doctor`",
        "130 inter",
    ):
        assert code in shown
    assert quartet(tmp_path, "nonsense").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_completes_the_command(tmp_path: Path, shell: str) -> None:
    script = quartet(tmp_path, "completion", shell).stdout
    assert f"complete_{shell}" in script
    assert (shell == "bash") == (f"{CHECKOUT}/quartet" not in script)  # bash calls what was typed


def test_bash_completes_commands(tmp_path: Path) -> None:
    (tmp_path / "quartet").write_text(f'#!/bin/sh\nexec {sys.executable} -m quartet_cli "$@"\n')
    (tmp_path / "quartet").chmod(0o755)
    script = quartet(tmp_path, "completion", "bash").stdout
    line = f"{tmp_path}/quartet scim-tokens re"
    asked = (
        f'{script}\nCOMP_WORDS=({line})\nCOMP_CWORD=2\n_quartet_completion {tmp_path}/quartet\necho "${{COMPREPLY[*]}}"'
    )
    done = subprocess.run(["/bin/bash", "-c", asked], check=False, capture_output=True, text=True)
    assert done.stdout == "revoke\n", done.stderr


def test_what_needs_the_secret_of_another_stack_names_the_variable(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "token", "--url", "http://127.0.0.1:1", QUARTET_CLIENT_SECRET="")
    assert (shown.returncode, "set QUARTET_CLIENT_SECRET to the secret of its client" in shown.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("verify", "--bundle", "none"), 1, "No such file"),
        (("verify", "--bundle", "x", "--url", "http://127.0.0.1:1"), 2, "not both"),
        (("verify", "--policy", "none"), 2, "policy none cannot be used"),
        (("verify", "--vkey", "x"), 2, "not a vkey"),
        (("verify",), 3, "./quartet up"),
        (("verify", "--url", "ftp://127.0.0.1"), 1, "ftp://127.0.0.1"),
        (("verify-proof", "none"), 1, "No such file"),
    ],
)
def test_logs_that_cannot_be_verified_are_errors_with_their_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    shown = quartet(tmp_path, "audit", *arguments, QUARTET_AUDIT_TOKEN="x", COLUMNS="200")
    assert (shown.returncode, shown.stdout) == (code, "")
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_file_that_is_no_proof_is_not_verified(tmp_path: Path) -> None:
    (tmp_path / "proof.json").write_text("{}")
    shown = quartet(tmp_path, "audit", "verify-proof", str(tmp_path / "proof.json"), "--state", str(tmp_path / "state"))
    assert (shown.returncode, shown.stderr) == (5, "")
    assert "NOT VERIFIED" in shown.stdout


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
    assert "No such tests: nonsense." in shown.stderr
