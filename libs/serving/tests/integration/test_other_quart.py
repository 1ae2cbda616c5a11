"""The tests of this library with the next version of Quart, whose members it overrides, in a separate environment."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

LIBRARY = Path(__file__).parents[2]
CHECKOUT = LIBRARY.parents[1]
LOCK = CHECKOUT / "requirements.lock"
NEXT = (LIBRARY / "tests/quart-next.txt").read_text()
NEEDED = ("quartet-serving", "h11", "hypothesis", "opentelemetry-proto", "pytest", "pytest-asyncio", "uvloop")
IS_3_13 = "import sys; sys.exit(sys.version_info[:2] != (3, 13))"
SETTINGS = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
addopts = --import-mode=importlib
markers = slow
"""


def find_python() -> str | None:
    """Python 3.13, which Quart 0.23 and requirements.lock need, from PATH or pyenv; None if there is none."""
    from_path = [shutil.which(name) for name in (sys.executable, "python3.13", "python3")]
    from_pyenv = map(str, Path.home().glob(".pyenv/versions/3.13*/bin/python"))
    for found in (*from_path, *from_pyenv):
        if found and subprocess.run([found, "-c", IS_3_13], check=False, capture_output=True).returncode == 0:
            return found
    return None


PYTHON = find_python()


def requirements() -> str:
    """What the tests need, pinned as in requirements.lock, with the next version of Quart."""
    command = [sys.executable, str(CHECKOUT / "deploy/subset.py"), *NEEDED]
    locked = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    changed, number = re.subn(r"^quart==.*\n(    .*\n)+", NEXT, locked, flags=re.MULTILINE)
    assert number == 1, locked
    return changed


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Run a command that has to succeed, and give its output."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_exactly_the_versions_of_quart_that_are_tested_are_allowed() -> None:
    project = tomllib.loads((LIBRARY / "pyproject.toml").read_text())["project"]
    [allowed] = [wanted for wanted in map(Requirement, project["dependencies"]) if wanted.name == "quart"]
    pinned = LOCK.read_text() + NEXT
    tested = re.findall(r"^quart==(\d+\.\d+)", pinned, flags=re.MULTILINE)
    assert [minor for minor in map("0.{}".format, range(40)) if minor in allowed.specifier] == tested


@pytest.mark.slow
@pytest.mark.skipif(PYTHON is None, reason="Quart 0.23 needs Python 3.13")
def test_this_library_works_with_the_next_version_of_quart(tmp_path: Path) -> None:
    assert PYTHON is not None
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(requirements())
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    run(PYTHON, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", wanted)
    [version] = re.findall(r"^quart==(\S+)", NEXT, flags=re.MULTILINE)
    found = run(python, "-c", "from importlib.metadata import version; print(version('quart'))")
    assert found.strip() == version
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    path = os.pathsep.join(str(CHECKOUT / folder) for folder in ("libs/serving/src", "libs/testing/src"))
    options = ("-q", "-c", tmp_path / "pytest.ini", f"--rootdir={LIBRARY}", f"--confcutdir={LIBRARY}", "-m", "not slow")
    output = run(python, "-m", "pytest", *options, LIBRARY / "tests", environment={**kept, "PYTHONPATH": path})
    assert re.search(r"\b[1-9]\d\d passed", output), output
