"""The launcher script, in a checkout of its own and with an installer that only notes what it was asked for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT

# Stands in for uv: notes its arguments; the installation of the workspace brings a `quartet_cli` that echoes its own.
INSTALLER = """#!/bin/sh
echo "$*" >>"$INSTALLER_LOG"
[ -z "${INSTALLER_FAILS:-}" ] || exit 1
case "$*" in *-e*) ;; *) exit 0 ;; esac
while [ "$1" != --python ]; do shift; done
site=$("$2" -c 'import site; print(site.getsitepackages()[0])')
echo 'import sys; print(sys.argv[1:], sys.prefix)' >"$site/quartet_cli.py"
"""


class Checkout:
    """A checkout with the real launcher, one workspace package and the installer above."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a check out"
        (self.root / "cli").mkdir(parents=True)
        shutil.copy(CHECKOUT / "quartet", self.root)
        (self.root / "requirements.lock").write_text("one==1\n")
        (self.root / "cli/pyproject.toml").write_text("[project]\n")
        self.tools = folder / "tools"
        self.tools.mkdir()
        (self.tools / "uv").write_text(INSTALLER)
        (self.tools / "uv").chmod(0o755)
        (self.tools / "python3.11").symlink_to(sys.executable)
        self.log = folder / "log"
        self.log.touch()

    def run(self, *arguments: str, launcher: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.tools}:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": os.environ["HOME"], "INSTALLER_LOG": str(self.log), **variables}
        command = ["/bin/sh", str(launcher or self.root / "quartet"), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd="/")

    @property
    def installations(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_call_makes_the_environment_and_hands_over(checkout: Checkout) -> None:
    done = checkout.run("status", "--json", "a b")
    assert done.stdout.strip() == f"['status', '--json', 'a b'] {checkout.root}/.venv"
    first, second = checkout.installations
    assert "--require-hashes -r" in first
    assert f"-e {checkout.root}/cli" in second
    assert "--no-deps --no-build-isolation" in second


def test_a_second_call_installs_nothing_and_says_nothing(checkout: Checkout) -> None:
    checkout.run("status")
    before = checkout.installations
    done = checkout.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert checkout.installations == before


def test_it_works_through_a_symlink_and_from_anywhere(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout.root / "quartet")
    (checkout.root / "relative").symlink_to("quartet")
    assert checkout.run("x", launcher=tmp_path / "link").stdout.startswith("['x']")
    assert checkout.run("y", launcher=checkout.root / "relative").stdout.startswith("['y']")


@pytest.mark.parametrize("changed", ["requirements.lock", "cli/pyproject.toml"])
def test_a_changed_lock_or_package_makes_the_environment_anew(checkout: Checkout, changed: str) -> None:
    checkout.run("status")
    with (checkout.root / changed).open("a") as file:
        file.write("# changed\n")
    checkout.run("status")
    assert len(checkout.installations) == 4


def test_a_checkout_that_was_moved_makes_its_environment_anew(checkout: Checkout) -> None:
    checkout.run("status")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.run("status").stdout.strip().endswith("moved/.venv")
    assert len(checkout.installations) == 4


def test_an_environment_that_was_left_half_made_is_made_again(checkout: Checkout) -> None:
    failed = checkout.run("status", INSTALLER_FAILS="1")
    assert failed.returncode == 1
    assert "could not be installed" in failed.stderr
    assert (checkout.root / ".venv/bin/python").exists()
    assert checkout.run("status").stdout.startswith("['status']")


def test_an_environment_whose_python_is_gone_is_made_again(checkout: Checkout) -> None:
    checkout.run("status")
    python = checkout.root / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nonexistent/python")
    assert checkout.run("status").stdout.startswith("['status']")


def test_a_python_that_is_asked_for_makes_the_environment(checkout: Checkout) -> None:
    mine = checkout.tools / "mine"
    mine.symlink_to(sys.executable)
    assert checkout.run("status", PYTHON=str(mine)).returncode == 0
    assert f"command = {mine}" in (checkout.root / ".venv/pyvenv.cfg").read_text()


def test_an_environment_of_another_version_than_asked_for_is_made_again(checkout: Checkout) -> None:
    checkout.run("status")
    other = checkout.tools / "other"
    other.write_text(f'#!/bin/sh\ncase $2 in *print*) echo 3 12 ;; *) exec {sys.executable} "$@" ;; esac\n')
    other.chmod(0o755)
    assert checkout.run("status", PYTHON=str(other)).stdout.startswith("['status']")
    assert len(checkout.installations) == 4


@pytest.mark.parametrize("python", ["/bin/false", "/nonexistent/python"])
def test_a_python_that_is_none_is_refused(checkout: Checkout, python: str) -> None:
    done = checkout.run("status", PYTHON=python)
    assert done.returncode == 1
    assert f"PYTHON={python} is not Python 3.11 to 3.13" in done.stderr
    assert not checkout.installations


def test_two_calls_at_once_make_one_environment(checkout: Checkout) -> None:
    command = ["/bin/sh", str(checkout.root / "quartet"), "status"]
    environment = {"PATH": f"{checkout.tools}:/usr/bin:/bin", "INSTALLER_LOG": str(checkout.log)}
    calls = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [call.communicate(timeout=60)[0] for call in calls]
    assert all(answer.startswith("['status']") for answer in answers)
    assert len(checkout.installations) == 2


def test_it_is_plain_posix_shell() -> None:
    for script in ("quartet", "deploy/secrets.sh", "deploy/postgres/init.sh"):
        subprocess.run(["/bin/sh", "-n", str(CHECKOUT / script)], check=True)
        assert os.access(CHECKOUT / script, os.X_OK)
