"""Lint and tests: runs the tools, and selects the tests of `./quartet test`."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console

from quartet_cli.errors import QuartetError
from quartet_cli.layout import CHECKOUT, SERVICES

KINDS: Final = ("quick", "unit", "integration", "conventions", "e2e", "faults", "chaos", "slow")

SIDE_BY_SIDE: Final = ("-n", "3", "--dist", "loadscope", "--durations", "25")
"""Three processes share the whole suite, which mostly waits, by groups of libs/testing: a third of it is on the stack,
in one of them. The slowest tests are listed."""
AUDITED: Final = ("services", "libs", "cli", "deploy", "bench")
"""Folders of code that runs, deploys or measures."""
BANDIT: Final = "import logging; logging.disable(logging.WARNING); from bandit.cli.main import main; main()"
"""bandit without warnings: it prints one for each line of a literal that has its `nosec` on another line."""


NOTHING_SELECTED: Final = 5
"""pytest's exit code if no test is selected, as for a file with slow tests only."""
QUICK: Final = ("-m", "not slow and not servers", "--hypothesis-profile", "quick", "-n", "2", "--dist", "worksteal")
"""Tests without servers can run in any process."""


@dataclass(frozen=True)
class Selection:
    """The arguments of pytest and its environment variables."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    may_be_empty: bool = False
    """Whether the run succeeds if no test is selected."""


def lint(console: Console, *, quick: bool = False) -> bool:
    """ruff check, ruff format, bandit unless `quick`, mypy --strict: all run even if one fails; False if one does."""
    sources = _projects("src")
    # one run: every src folder is a root, and test modules are passed by path, since their names are not unique
    roots = {"MYPYPATH": os.pathsep.join(map(str, (*sources, CHECKOUT / "bench")))}
    folders = [*sources, *_projects("tests"), CHECKOUT / "tests", CHECKOUT / "bench"]
    scripts = [*CHECKOUT.glob("deploy/*.py"), *CHECKOUT.glob("deploy/compose/*.py")]
    typed = [str(path) for path in (*folders, *scripts) if path.is_file() or any(path.rglob("*.py"))]
    results = [
        _check(console, "ruff check", ["-m", "ruff", "check", "."]),
        _check(console, "ruff format", ["-m", "ruff", "format", "--check", "."]),
        quick or _check(console, "bandit", ["-c", BANDIT, "-q", "-c", "pyproject.toml", "-r", *AUDITED]),
        _check(console, "mypy --strict", ["-m", "mypy", "--strict", "--explicit-package-bases", *typed], roots),
    ]
    return all(results)


def _check(console: Console, name: str, command: list[str], environment: dict[str, str] | None = None) -> bool:
    begun = time.monotonic()
    clean = _run(command, environment) == 0
    word = "[green]clean[/]" if clean else "[red]not clean[/]"
    console.print(f"{name}: {word} ({time.monotonic() - begun:.1f} s)", highlight=False)
    return clean


def _projects(part: str) -> list[Path]:
    patterns = (f"libs/*/{part}", f"services/*/{part}", f"cli/{part}", f"deploy/{part}")
    return sorted(path for pattern in patterns for path in CHECKOUT.glob(pattern) if path.is_dir())


def parts(what: str | None, extra: Sequence[str], *, url: str | None, token: str | None) -> list[Selection]:
    """The test runs of `./quartet test WHAT`, in order. Raises QuartetError for an unknown word."""
    if what == "quick" and url is None:
        return quick(changed_files(), extra)
    return [selection(what, extra, url=url, token=token)]


def selection(what: str | None, extra: Sequence[str], *, url: str | None, token: str | None) -> Selection:
    """The test run of `./quartet test WHAT`. Raises QuartetError for an unknown word."""
    environment = {}
    if url is not None:
        if what not in (None, "e2e"):
            raise QuartetError("--url is only for e2e; all other tests start servers of their own")
        if not token:
            raise QuartetError("--url needs --token: a bearer token of that stack with all scopes")
        environment = {"QUARTET_E2E_URL": url, "QUARTET_E2E_TOKEN": token}
        return Selection(["tests/e2e", "-m", "not local_stack", *extra], environment)
    folders = paths(None if what == "slow" else what)
    if not folders:
        raise QuartetError(f"No such tests: {what}. The tests are: {', '.join((*KINDS, *SERVICES))}")
    chosen = {None: ["-m", "not slow", *SIDE_BY_SIDE], "slow": ["-m", "slow"]}.get(what, [])
    return Selection([*map(str, folders), *chosen, *extra])


def quick(changed: Iterable[str], extra: Sequence[str]) -> list[Selection]:
    """The test runs of `./quartet test quick`: unit tests and conventions without servers; tests of changed files."""
    folders = [*paths("unit"), *paths("conventions")]
    first = Selection([*map(str, folders), *QUICK, *extra])
    touched = touched_tests(changed)
    return [first, Selection([*touched, "-m", "not slow", *extra], may_be_empty=True)] if touched else [first]


def touched_tests(changed: Iterable[str]) -> list[str]:
    """The integration tests of changed files, by their paths in the checkout: of a changed test the test itself, of
    `services/users/src/**/role_store.py` the file `services/users/tests/integration/test_role_store.py` if it exists.
    """
    found = {test for path in changed if (test := _integration_test(Path(path))) is not None}
    return sorted(str(test) for test in found if (CHECKOUT / test).is_file())


def _integration_test(path: Path) -> Path | None:
    if path.suffix != ".py":
        return None
    if path.name.startswith("test_"):
        return path if "integration" in path.parts else None
    if "src" not in path.parts:
        return None
    package = Path(*path.parts[: path.parts.index("src")])
    return package / "tests/integration" / f"test_{path.name}"


def changed_files() -> list[str]:
    """Files that differ from the merge base with main, committed or not; none without git."""
    base = _git("merge-base", "HEAD", "main") or _git("merge-base", "HEAD", "origin/main") or ["HEAD"]
    return _git("diff", "--name-only", base[0]) + _git("ls-files", "--others", "--exclude-standard")


def _git(*arguments: str) -> list[str]:
    """The output lines of git; none if it fails or does not exist."""
    try:
        done = subprocess.run(("git", *arguments), cwd=CHECKOUT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()


def paths(what: str | None) -> list[Path]:
    """The test folders of a word, relative to the checkout."""
    if what is None:
        found = [*_projects("tests"), *(CHECKOUT / "tests").glob("*/")]
        found = [path for path in found if path.name != "chaos"]
    elif what in ("unit", "integration"):
        found = [path / what for path in _projects("tests")] + [CHECKOUT / "tests" / what]
    elif what in ("faults", "chaos"):
        found = [CHECKOUT / "tests/e2e/faults", CHECKOUT / "tests/chaos"]
    elif what in SERVICES:
        found = [CHECKOUT / "services" / what / "tests"]
    else:
        found = [CHECKOUT / "tests" / what] if what in KINDS else []
    return [path.relative_to(CHECKOUT) for path in found if any(path.rglob("test_*.py"))]


def run_tests(console: Console, parts: Sequence[Selection], repeat: int = 1) -> int:
    """The exit code of the first failing part, or 0; runs all parts `repeat` times."""
    for turn in range(1, repeat + 1):
        if repeat > 1:
            console.print(f"run {turn} of {repeat}", highlight=False)
        code = next((code for part in parts if (code := _run_part(part)) != 0), 0)
        if code != 0:
            return code
    return 0


def _run_part(part: Selection) -> int:
    code = _run(["-m", "pytest", *part.arguments], part.environment)
    return 0 if code == NOTHING_SELECTED and part.may_be_empty else code


def _run(arguments: Sequence[str], environment: dict[str, str] | None = None) -> int:
    """The exit code of a Python process, which ends with this one, also if this one is killed."""
    command = [sys.executable, *arguments]
    settings = {**os.environ, **(environment or {})}
    return subprocess.run(
        command, check=False, cwd=CHECKOUT, env=settings, preexec_fn=_end_with_parent
    ).returncode  # no threads run


def _end_with_parent() -> None:
    """Let the kernel send SIGTERM to this process when its parent ends: see PR_SET_PDEATHSIG(2const)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
