"""Files of the project: the workflow, the hooks and the owners name what exists, and all versions are the same."""

import json
import re
import tomllib
from typing import Any

import yaml  # type: ignore[import-untyped]  # it says nothing of its types

from quartet_cli.layout import CHECKOUT

PYTHONS = ("3.11", "3.12", "3.13")


def read_yaml(path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHECKOUT / path).read_text())
    return loaded


def projects() -> list[dict[str, Any]]:
    """What each package says of itself."""
    files = [CHECKOUT / "cli/pyproject.toml", *CHECKOUT.glob("libs/*/pyproject.toml")]
    files += CHECKOUT.glob("services/*/pyproject.toml")
    return [tomllib.loads(file.read_text())["project"] for file in files]


def test_the_workflow_runs_the_tests_with_each_supported_python_and_nothing_else() -> None:
    job = read_yaml(".github/workflows/test.yaml")["jobs"]["test"]
    assert tuple(job["strategy"]["matrix"]["python"]) == PYTHONS
    assert job["env"] == {"PYTHON": "python${{ matrix.python }}"}
    assert [step["run"] for step in job["steps"] if "run" in step] == ["./quartet test"]


def test_the_launcher_looks_for_the_supported_pythons() -> None:
    launcher = (CHECKOUT / "quartet").read_text()
    assert set(re.findall(r"\bpython(3\.\d+)\b", launcher)) == set(PYTHONS)
    assert {project["requires-python"] for project in projects()} == {f">={PYTHONS[0]}"}


def test_the_hooks_run_the_tools_of_the_lock() -> None:
    [repository] = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == ["./quartet lint"]


def test_the_development_container_is_debian_12_and_lints() -> None:
    container = json.loads((CHECKOUT / ".devcontainer/devcontainer.json").read_text())
    assert re.fullmatch(r"python:3\.\d+-bookworm", container["image"])
    assert container["postCreateCommand"] == "./quartet lint"


def test_every_path_with_an_owner_exists() -> None:
    lines = [line.split() for line in (CHECKOUT / ".github/CODEOWNERS").read_text().splitlines()]
    owned = [line for line in lines if line and line[0] not in ("*", "#")]
    assert owned
    assert not [path for path, *owners in owned if not owners or not (CHECKOUT / path.strip("/")).exists()]


def test_all_packages_have_the_version_of_the_newest_section_of_the_changelog() -> None:
    sections = re.findall(r"^## (.+)$", (CHECKOUT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    version = re.fullmatch(r"(\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d", sections[1])
    assert version is not None
    assert {project["version"] for project in projects()} == {version[1]}
