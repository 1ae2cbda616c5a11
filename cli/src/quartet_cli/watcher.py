"""Ends a temporary stack and removes its home after the process that started it has ended, also by SIGKILL.

That process runs it as `python -m quartet_cli.watcher HOME`.
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
    if os.getppid() == parent:  # otherwise it has ended before, and the id may be that of another process
        select.select([watched], [], [])


def main(home: Path) -> None:
    """Wait, then stop the stack and remove its data, secrets and logs."""
    wait_for_parent()
    if home.is_dir():
        stack = reset.open_stack(home)
        stack.down()
        reset.remove(stack.home)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
