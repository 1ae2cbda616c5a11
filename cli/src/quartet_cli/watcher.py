"""Ends a temporary stack, and removes its home, once the process that started it has ended in whatever way.

Run as `python -m quartet_cli.watcher HOME` by that process: a SIGKILL leaves it no time to end the stack itself.
"""

import os
import select
import sys
from pathlib import Path

from quartet_cli import reset


def wait_for_parent() -> None:
    """Return when the process that started this one has ended."""
    parent = os.getppid()
    try:
        watched = os.pidfd_open(parent)
    except ProcessLookupError:
        return
    if os.getppid() == parent:  # else it had ended before, and its number belongs to another process or to none
        select.select([watched], [], [])


def main(home: Path) -> None:
    """Wait, then end what still runs of the stack and remove its data, secrets and logs."""
    wait_for_parent()
    if home.is_dir():
        stack = reset.open_stack(home)
        stack.down()
        reset.remove(stack.home)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
