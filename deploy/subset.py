"""What an image build installs: the part of requirements.lock that some packages need, or their workspace folders."""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

USAGE = "usage: subset.py [--folders] NAME... (packages of this workspace, or packages of requirements.lock)\n"
FOLDERS = "--folders"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?==")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VIA = re.compile(r"    #\s+(via\s+)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)$")
PROJECTS = ("cli", "libs/*", "services/*")


class SubsetError(Exception):
    """A name that is in neither the workspace nor the lock, or a lock that cannot be read."""


@dataclass
class Entry:
    """One requirement of the lock: its lines as they stand, and the names of what asks for it."""

    name: str
    lines: list[str]
    via: set[str] = field(default_factory=set)


def normalise(name: str) -> str:
    """A package's name as all its spellings have it in common (PyPA: name normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> list[Entry]:
    """The requirements of a lock with `# via` notes, in their order; one name may stand there for several Pythons."""
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := REQUIREMENT.match(line):
            entries.append(Entry(normalise(match["name"]), [line]))
        elif line.startswith("    --hash=") and entries:
            entries[-1].lines.append(line)
        elif entries and (via := VIA.match(line)):
            entries[-1].via.add(normalise(via["name"]))
        elif line.strip() and line.strip() not in ("# via",) and not line.startswith("#"):
            raise SubsetError(f"requirements.lock, line {number}: not understood: {line.strip()}")
    return entries


def _projects(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for pattern in PROJECTS:
        for file in sorted(root.glob(f"{pattern}/pyproject.toml")):
            yield file.parent, tomllib.loads(file.read_text(encoding="utf-8"))["project"]


def read_workspace(root: Path) -> dict[str, set[str]]:
    """Each package of the workspace that is there, with the names that its pyproject.toml depends on."""
    return {
        normalise(project["name"]): {_name(text) for text in project.get("dependencies", [])}
        for _, project in _projects(root)
    }


def folders(root: Path, wanted: Iterable[str]) -> list[str]:
    """The folders below `root` of the workspace packages that `wanted` need. SubsetError for a name that is none."""
    workspace = read_workspace(root)
    needed = {normalise(name) for name in wanted}
    if unknown := needed - set(workspace):
        raise SubsetError(f"not in the workspace: {', '.join(sorted(unknown))}")
    while more := _own(workspace, needed) - needed:
        needed |= more
    return [str(path.relative_to(root)) for path, project in _projects(root) if normalise(project["name"]) in needed]


def _own(workspace: dict[str, set[str]], needed: set[str]) -> set[str]:
    """Workspace packages that `needed` depend on directly."""
    return set().union(*(workspace[name] for name in needed)) & set(workspace)


def _name(dependency: str) -> str:
    match = NAME.match(dependency.strip())
    if match is None:
        raise SubsetError(f"not a dependency: {dependency}")
    return normalise(match[0])


def subset(entries: Sequence[Entry], workspace: dict[str, set[str]], wanted: Iterable[str]) -> list[Entry]:
    """The entries that `wanted` need. Raises SubsetError for a name that is nowhere.

    The workspace packages that are needed come from their pyproject.toml; from there the `via` notes are followed
    downwards, whatever Python or extra they were meant for: rather one package too many than one too few.
    """
    locked = {entry.name for entry in entries}
    needed = {normalise(name) for name in wanted}
    if unknown := needed - locked - set(workspace):
        raise SubsetError(f"neither in the workspace nor in the lock: {', '.join(sorted(unknown))}")
    while more := _asked_for(entries, workspace, needed) - needed:
        needed |= more
    if missing := needed - locked - set(workspace):
        raise SubsetError(f"not in the lock, make it anew with deploy/lock.sh: {', '.join(sorted(missing))}")
    return [entry for entry in entries if entry.name in needed]


def _asked_for(entries: Sequence[Entry], workspace: dict[str, set[str]], needed: set[str]) -> set[str]:
    by_projects: set[str] = set().union(*(workspace[name] for name in needed if name in workspace))
    return by_projects | {entry.name for entry in entries if entry.via & needed}


def main(arguments: Sequence[str], root: Path) -> int:
    """Print what the packages named need of `root`, a line each; 2 where it cannot be found."""
    names = [name for name in arguments if name != FOLDERS]
    if not names:
        sys.stderr.write(USAGE)
        return 2
    try:
        lines = folders(root, names) if FOLDERS in arguments else _requirements(root, names)
    except (SubsetError, OSError) as error:
        sys.stderr.write(f"subset.py: {error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _requirements(root: Path, names: Sequence[str]) -> list[str]:
    entries = read_lock((root / "requirements.lock").read_text(encoding="utf-8"))
    return [line for entry in subset(entries, read_workspace(root), names) for line in entry.lines]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], Path(__file__).resolve().parents[1]))
