"""Removing a stack's data: exactly what `up` made, nothing that somebody else put into the folder."""

import shutil
from pathlib import Path

from quartet_cli import settings
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home
from quartet_cli.stack import Stack
from quartet_cli.state import State


def open_stack(path: Path) -> Stack:
    """The stack of a home whose state may be damaged: that is one of the reasons to reset it."""
    home = Home(path.resolve())
    try:
        State.load(home.state_file)
    except QuartetError:
        home.state_file.unlink()
    return Stack(home.path)


def belongings(home: Home) -> list[Path]:
    """What there is to remove: the parts of the home, and the database where it lies elsewhere."""
    outside = State.load(home.state_file).postgres_data or str(home.postgres_data)
    parts = [home.data, home.secrets, home.logs, home.run, home.state_file, home.socket.parent]
    parts += [home.login_file, home.login_lock]
    if home.settings_file.exists() and home.settings_file.read_text() == settings.EXAMPLE:
        parts.append(home.settings_file)  # what a person has set stays
    if outside and Path(outside).parent == Path("/var/lib/quartet"):
        parts.append(Path(outside))
    return [path for path in dict.fromkeys(parts) if path.exists()]


def remove(home: Home) -> None:
    """Removes it all, and the home itself if nothing else is in it. The stack must be down."""
    for path in belongings(home):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if home.path.is_dir() and not any(home.path.iterdir()):
        home.path.rmdir()
