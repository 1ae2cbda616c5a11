"""The files of the repository: what each package has, and what stands in none."""

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT

PACKAGES = sorted(path.parent for path in CHECKOUT.glob("*/pyproject.toml")) + sorted(
    path.parent for part in ("libs", "services") for path in CHECKOUT.glob(f"{part}/*/pyproject.toml")
)
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("index", "docker", "io"),
        ("registry", "hub", "docker", "com"),
        ("proxy", "golang", "org"),
        ("static", "crates", "io"),
    )
)
"""In pieces, so that this file is none of those that it looks for."""
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".sql", ".sh", ".json", ".html", ".css", ".js", ".conf", ".lock"}


def committed() -> list[Path]:
    """What is committed, or would be: untracked files that nothing ignores count too. Where there is no git, .gitignore
    says alone what is not.
    """
    if shutil.which("git") is None:
        lines = (CHECKOUT / ".gitignore").read_text().split()
        return [path for path in CHECKOUT.rglob("*") if path.is_file() and not is_ignored(path, [".git", *lines])]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    output = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    return [path for name in output.split("\0") if name and (path := CHECKOUT / name).is_file()]


def is_ignored(path: Path, patterns: list[str]) -> bool:
    """Whether a path or a folder that it is in is left out by these lines of .gitignore, which name no deeper paths."""
    parts = path.relative_to(CHECKOUT).parts
    at_the_top = [one.strip("/") for one in patterns if one.startswith("/")]
    anywhere = [one.strip("/") for one in patterns if not one.startswith("/")]
    return parts[0] in at_the_top or any(fnmatch(part, one) for part in parts for one in anywhere)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is nothing to compare with")
def test_without_git_the_same_files_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    known = set(committed())
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert set(committed()) == known


def test_no_committed_file_names_the_host_of_a_package_registry() -> None:
    found = committed()
    assert len(found) > 100
    named = {
        f"{path.relative_to(CHECKOUT)}: {host}"
        for path in found
        for host in HOSTS
        if host.encode() in path.read_bytes().lower()
    }
    assert not named


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_package_says_what_it_is(package: Path) -> None:
    assert (package / "README.md").is_file()
    [source] = [path for path in (package / "src").iterdir() if path.name.startswith("quartet_")]
    assert (source / "py.typed").is_file()


def test_every_module_opens_with_what_it_is() -> None:
    sources = [path for path in committed() if path.suffix == ".py"]
    silent = [str(path.relative_to(CHECKOUT)) for path in sources if not path.read_text().startswith('"""')]
    assert not silent


def test_text_files_end_with_a_line_end_and_no_line_with_a_space() -> None:
    """As .editorconfig says."""
    texts = {path: path.read_bytes() for path in committed() if path.suffix in TEXT}
    assert len(texts) > 100
    odd = [path for path, text in texts.items() if text and not text.endswith(b"\n")]
    odd += [path for path, text in texts.items() if re.search(rb"[ \t\r]$", text, flags=re.MULTILINE)]
    assert not sorted({str(path.relative_to(CHECKOUT)) for path in odd})
