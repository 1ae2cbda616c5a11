"""Reads logs: the last lines of one process or of all, and new lines, also across a rotation."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from quartet_cli import instances
from quartet_cli.bringup import tail
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home


def files(home: Home, name: str | None) -> dict[str, Path]:
    """The logs of one process, of a service's processes, or all: name -> file."""
    found = {path.stem: path for path in sorted(home.logs.glob("*.log")) if "@" not in path.stem}
    if name is None:
        return found
    chosen = {each: found[each] for each in instances.meant(name, found)}
    if not chosen:
        raise QuartetError(f"No log of {name}. The logs are: {', '.join(found) or 'none yet'}")
    return chosen


def last(paths: dict[str, Path], lines: int) -> Iterator[tuple[str, str]]:
    """Pairs of name and line."""
    for name, path in paths.items():
        for line in tail(path, lines):
            yield name, line


def follow(paths: dict[str, Path], pause: float = 0.2) -> Iterator[tuple[str, str]]:
    """New lines as (name, line), without end; reopens rotated files."""
    readers = {name: Reader(path) for name, path in paths.items()}
    while True:
        found = False
        for name, reader in readers.items():
            for line in reader.lines():
                found = True
                yield name, line
        if not found:
            time.sleep(pause)


class Reader:
    """Reads complete lines that are added to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb")
        self.file.seek(0, os.SEEK_END)
        self.rest = b""

    def lines(self) -> list[str]:
        """The complete lines added since the last call."""
        text = self.rest + self.file.read()
        *whole, self.rest = text.split(b"\n")
        if not whole and self._rotated():
            self.file.close()
            self.file = self.path.open("rb")
        return [line.decode(errors="replace") for line in whole]

    def _rotated(self) -> bool:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        kept = os.fstat(self.file.fileno())
        return (now.st_ino, now.st_dev) != (kept.st_ino, kept.st_dev)
