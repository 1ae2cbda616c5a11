"""deploy/subset.py: what an image gets out of requirements.lock."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("users", "groups", "audit", "metrics")

LOCK = """\
# Made by a machine; do not edit.
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via quartet-users
beta==2.0 ; python_full_version < '3.13' \\
    --hash=sha256:ba
    # via
    #   alpha
    #   quartet-cli
beta==2.1 ; python_full_version >= '3.13' \\
    --hash=sha256:bb
    # via
    #   alpha
    #   quartet-cli
delta-core==4.0 \\
    --hash=sha256:da
    # via beta
gamma==3.0 \\
    --hash=sha256:ca
    # via quartet-cli
pytest==9.0 \\
    --hash=sha256:ea
zeta==6.0 \\
    --hash=sha256:fa
    # via quartet-common
"""
WORKSPACE = {
    "quartet-users": {"alpha", "quartet-common"},
    "quartet-common": {"zeta"},
    "quartet-cli": {"beta", "gamma"},
}


def _load() -> ModuleType:
    """The script as a module: it is run by its path, and so belongs to no package."""
    spec = importlib.util.spec_from_file_location("quartet_deploy_subset", ROOT / "deploy/subset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by its name
    spec.loader.exec_module(module)
    return module


subset = _load()


def _names(*wanted: str) -> list[str]:
    entries = subset.subset(subset.read_lock(LOCK), WORKSPACE, wanted)
    return [entry.lines[0].split(" ")[0] for entry in entries]


def test_a_service_gets_what_it_and_its_libraries_need_and_what_those_need() -> None:
    assert _names("quartet-users") == ["alpha==1.0", "beta==2.0", "beta==2.1", "delta-core==4.0", "zeta==6.0"]


def test_what_only_others_need_stays_outside() -> None:
    assert not {"gamma==3.0", "pytest==9.0"} & set(_names("quartet-users"))


def test_a_package_of_the_lock_can_be_asked_for_by_any_spelling_of_its_name() -> None:
    assert _names("Delta_Core") == ["delta-core==4.0"]
    assert _names("beta") == ["beta==2.0", "beta==2.1", "delta-core==4.0"]


def test_hashes_and_markers_are_kept_and_notes_are_left_out() -> None:
    entries = subset.subset(subset.read_lock(LOCK), WORKSPACE, ["alpha"])
    assert entries[0].lines == ["alpha==1.0 \\", "    --hash=sha256:aa \\", "    --hash=sha256:ab"]
    assert entries[1].lines == ["beta==2.0 ; python_full_version < '3.13' \\", "    --hash=sha256:ba"]


def test_a_name_that_is_nowhere_is_refused() -> None:
    with pytest.raises(subset.SubsetError, match="neither in the workspace nor in the lock: omega"):
        _names("omega")


def test_a_dependency_that_the_lock_does_not_know_yet_is_refused() -> None:
    workspace = WORKSPACE | {"quartet-users": {"alpha", "brand-new"}}
    with pytest.raises(subset.SubsetError, match="brand-new"):
        subset.subset(subset.read_lock(LOCK), workspace, ["quartet-users"])


def test_a_line_that_is_no_requirement_is_refused() -> None:
    with pytest.raises(subset.SubsetError, match="line 2"):
        subset.read_lock("alpha==1.0\n-e ./somewhere\n")


def test_wrong_usage_ends_with_2_and_writes_nothing_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert subset.main([], ROOT) == 2
    assert subset.main(["quartet-users"], tmp_path) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_the_service_its_libraries_and_no_tools(
    service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert subset.main([f"quartet-{service}"], ROOT) == 0
    found = set(re.findall(r"^([a-z0-9-]+)==", capsys.readouterr().out, flags=re.MULTILINE))
    assert {"quart", "hypercorn", "asyncpg", "aio-pika", "uvloop"} <= found
    assert not found & {"pytest", "mypy", "ruff", "hypothesis", "hatchling", "typer", "rich", "supervisor"}
    assert ("argon2-cffi" in found) == (service == "users")


def libraries_of(folder: str) -> set[str]:
    """The folders of the libraries that the package in `folder` depends on."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    ours = [name.removeprefix("quartet-") for name in project["dependencies"] if name.startswith("quartet-")]
    return {f"libs/{name.replace('-', '_')}" for name in ours}


@pytest.mark.parametrize("service", SERVICES)
def test_a_dockerfile_brings_exactly_the_packages_that_its_service_depends_on(service: str) -> None:
    text = (ROOT / f"services/{service}/Dockerfile").read_text()
    wanted = {f"services/{service}"}
    while more := {library for folder in wanted for library in libraries_of(folder)} - wanted:
        wanted |= more
    copied = set(re.findall(r"^COPY ((?:libs|services)/[a-z_]+) ", text, flags=re.MULTILINE))
    described = set(re.findall(r"^COPY ((?:libs|services)/[a-z_]+)/pyproject\.toml ", text, flags=re.MULTILINE))
    built = re.search(r"for package in ([^;]+);", text)
    assert built is not None
    assert copied == described == set(built[1].split()) == wanted


def test_the_dockerfiles_differ_in_nothing_but_their_service_and_its_libraries() -> None:
    texts = set()
    for service in SERVICES:
        text = (ROOT / f"services/{service}/Dockerfile").read_text().replace(service, "SERVICE")
        texts.add(re.sub(r"^COPY libs/scim.*\n|libs/scim(_http)? ", "", text, flags=re.MULTILINE))
    assert len(texts) == 1
