"""What lint and test run over."""

import shutil
import subprocess
from pathlib import Path

import pytest

from quartet_cli import quality
from quartet_cli.errors import QuartetError


def test_unit_means_the_unit_tests_of_every_project() -> None:
    chosen = quality.paths("unit")
    assert chosen
    assert all(path.name == "unit" for path in chosen)


def test_without_a_word_everything_is_run() -> None:
    assert {path.parts[0] for path in quality.paths(None)} >= {"cli"}


def test_a_word_that_names_nothing_is_an_error_and_not_an_empty_run() -> None:
    with pytest.raises(QuartetError, match=r"No such tests: nonsense\. The tests are: quick, unit,"):
        quality.selection("nonsense", [], url=None, token=None)


def test_another_stack_is_tested_from_outside_only() -> None:
    chosen = quality.selection("e2e", ["-x"], url="http://127.0.0.1:9", token="t")
    assert chosen.arguments == ["tests/e2e", "-m", "not local_stack", "-x"]
    assert chosen.environment == {"QUARTET_E2E_URL": "http://127.0.0.1:9", "QUARTET_E2E_TOKEN": "t"}


@pytest.mark.parametrize(("what", "token"), [("e2e", None), ("unit", "t")])
def test_another_stack_needs_a_token_and_takes_no_other_tests(what: str, token: str | None) -> None:
    with pytest.raises(QuartetError, match="--url"):
        quality.selection(what, [], url="http://127.0.0.1:9", token=token)


def test_quick_runs_what_needs_no_servers_and_then_the_integration_tests_of_changed_files() -> None:
    test = "services/users/tests/integration/test_role_store.py"
    source = "services/users/src/quartet_users/roles/role_store.py"
    first, second = quality.quick(["README.md", source, test], ["-x"])
    assert {Path(one).parts[0] for one in first.arguments if "/" in one} >= {"libs", "services", "cli", "tests"}
    assert "not slow and not servers" in first.arguments
    assert second.arguments == [test, "-m", "not slow", "-x"]


@pytest.mark.parametrize(
    "changed",
    [
        "docs/events.md",
        "bench/bulk.py",
        "tests/e2e/test_users.py",
        "cli/tests/unit/test_quality.py",
        "cli/src/quartet_cli/no_test_of_this_name.py",
    ],
)
def test_quick_runs_nothing_more_for_files_without_integration_tests(changed: str) -> None:
    assert len(quality.quick([changed], [])) == 1


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_changed_files_are_those_that_differ_from_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quality, "CHECKOUT", tmp_path)
    for name in ("kept", "edited"):
        (tmp_path / name).write_text("1")
    git = ("git", "-c", "user.name=n", "-c", "user.email=e@example.com")
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "1"], ["switch", "-qc", "work"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    (tmp_path / "edited").write_text("2")
    subprocess.run([*git, "commit", "-qam", "2"], cwd=tmp_path, check=True)
    (tmp_path / "new").touch()
    assert quality.changed_files() == ["edited", "new"]


def test_without_git_no_file_has_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quality, "CHECKOUT", tmp_path)
    monkeypatch.setenv("PATH", "")
    assert quality.changed_files() == []


def test_slow_tests_are_left_out_of_the_whole_and_are_a_part_of_their_own() -> None:
    whole, slow, part = (quality.selection(what, ["-x"], url=None, token=None) for what in (None, "slow", "audit"))
    at = whole.arguments.index("-m")
    assert whole.arguments[at:] == ["-m", "not slow", *quality.SIDE_BY_SIDE, "-x"]
    assert slow.arguments == [*whole.arguments[:at], "-m", "slow", "-x"]
    assert part.arguments == ["services/audit/tests", "-x"]
