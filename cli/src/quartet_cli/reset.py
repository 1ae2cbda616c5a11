"""Removes the data of a stack: the files that `up` created, and no others in the folder."""

import shutil
from pathlib import Path

from quartet_cli import settings
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home
from quartet_cli.stack import Stack
from quartet_cli.state import State


def open_stack(path: Path) -> Stack:
    """The stack of a home, also if its state is damaged, which is a reason to reset it."""
    home = Home(path.resolve())
    try:
        State.load(home.state_file)
    except QuartetError:
        home.state_file.unlink()
    return Stack(home.path)


def belongings(home: Home) -> list[Path]:
    """The paths to remove: the parts of the home, and the database if it is elsewhere."""
    outside = State.load(home.state_file).postgres_data or str(home.postgres_data)
    parts = [home.data, home.secrets, home.logs, home.run, home.state_file, home.socket.parent]
    if home.settings_file.exists() and home.settings_file.read_text() == settings.EXAMPLE:
        parts.append(home.settings_file)  # an edited file stays
    if outside and Path(outside).parent == Path("/var/lib/quartet"):
        parts.append(Path(outside))
    return [path for path in dict.fromkeys(parts) if path.exists()]


def remove(home: Home) -> None:
    """Remove all parts, and the home itself if it is empty then. The stack must not run."""
    for path in belongings(home):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if home.path.is_dir() and not any(home.path.iterdir()):
        home.path.rmdir()
