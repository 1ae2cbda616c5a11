"""The command as `pip install ./cli` installs it: elsewhere, without the checkout, as a client of servers only."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT

UNUSED = {"asyncio", "cryptography", "httpx", "psutil", "quartet_audit_verifier", "supervisor"}
"""Packages that a start must not import: they take longer than all the rest."""


class Installed:
    """The command in an environment of its own, whose other packages are those of the tests."""

    def __init__(self, folder: Path) -> None:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, check=True, capture_output=True, cwd=CHECKOUT / "cli")
        [wheel] = folder.glob("*.whl")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
        [self.packages] = folder.glob("env/lib/python*/site-packages")
        with zipfile.ZipFile(wheel) as file:
            file.extractall(self.packages)
        (self.packages / "others.pth").write_text(sysconfig.get_path("purelib"))
        self.config = folder / "config"
        self._python = str(folder / "env/bin/python")

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("QUARTET_")}
        command = [self._python, "-m", *arguments]
        environment = {**own, "XDG_CONFIG_HOME": str(self.config)}
        return subprocess.run(
            command, check=False, capture_output=True, text=True, input=given, env=environment, cwd="/"
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


def test_the_commands_of_a_server_are_there_and_those_of_a_checkout_are_not(installed: Installed) -> None:
    shown = installed.run("quartet_cli", "--help").stdout
    assert "Usage: quartet " in shown
    named = {line.split()[1] for line in shown.splitlines() if line.startswith("│") and len(line.split()) > 2}
    assert {"login", "users", "groups", "members", "check", "audit", "doctor"} <= named
    assert not {"up", "status", "test"} & named


def test_it_needs_no_other_package_of_the_workspace(installed: Installed) -> None:
    [metadata] = installed.packages.glob("quartet_cli-*.dist-info/METADATA")
    needed = [line.split()[1] for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist: ")]
    assert "httpx" in needed
    assert not [name for name in needed if name.startswith("quartet")]


@pytest.mark.parametrize("command", ["up", "status", "logs", "down", "reset", "demo", "test", "lint"])
def test_a_command_of_a_checkout_says_that_it_needs_one(installed: Installed, command: str) -> None:
    shown = installed.run("quartet_cli", command)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"quartet: `{command}` needs a checkout of Quartet: run it there as ./quartet.")
    assert "quartet login --url URL USER" in shown.stderr


def test_without_a_login_the_error_has_the_command_to_log_in(installed: Installed) -> None:
    shown = installed.run("quartet_cli", "users", "list")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == ("quartet: Not logged in: there is no profile default. Run: quartet login --url URL USER\n")
    shown = installed.run("quartet_cli", "login", "bjensen")
    assert "--url must be the URL of a server, such as https://quartet.example.com, got None" in shown.stderr
    assert not installed.config.exists()


def test_an_audit_log_is_verified_by_what_the_wheel_has(installed: Installed) -> None:
    assert (installed.packages / "quartet_audit_verifier").is_dir()
    bundle = CHECKOUT / "libs/audit_verifier/tests"
    shown = installed.run("quartet_cli", "audit", "verify", "--bundle", str(bundle))
    assert shown.returncode == 1
    assert "Is a directory" in shown.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_call_the_command_on_the_path(installed: Installed, shell: str) -> None:
    script = installed.run("quartet_cli", "completion", shell).stdout
    assert f"complete_{shell}" in script
    assert "quartet" in script
    assert str(installed.packages.parents[2]) not in script


def test_a_start_imports_nothing_that_takes_long(installed: Installed) -> None:
    code = "import sys, quartet_cli.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert UNUSED & set(shown.stdout.split()) == set()
