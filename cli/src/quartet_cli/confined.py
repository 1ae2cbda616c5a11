"""Runs a command as another account with access to given folders, also if a folder above them is closed to it.

`python -m quartet_cli.confined USER FOLDER... -- COMMAND...`, as root; USER `root` stays root. A checkout, or a Python,
below /root (mode 0700) is the usual case. The command gets a mount namespace of its own, in which an empty tmpfs covers
each closed folder and shows the given folders only. See mount_namespaces(7).
"""

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from quartet_cli.layout import CHECKOUT

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000


def prefix(user: str, home: Path) -> list[str]:
    """The prefix of a command that runs as `user` with the checkout, this Python and the home of a stack."""
    return [sys.executable, "-m", "quartet_cli.confined", user, *map(str, shown(home)), "--"]


def shown(home: Path) -> list[Path]:
    """The folders that the processes of a stack need."""
    return list(dict.fromkeys((CHECKOUT, Path(sys.prefix), Path(sys.base_prefix).resolve(), home)))


def cover_of(file: Path, home: Path) -> Path | None:
    """The closed folder whose cover hides `file` from the processes of a stack; None if they see it."""
    covers = {above for folder in shown(home) if (above := closed_above(folder)) is not None}
    return next((cover for cover in covers if cover in (*file.parents, *file.resolve().parents)), None)


def works(user: str, home: Path) -> bool:
    """Whether `user` can run this Python with the services' code."""
    probe = [*prefix(user, home), sys.executable, "-c", "import quartet_common"]
    return subprocess.run(probe, check=False, capture_output=True, cwd="/").returncode == 0


def main(arguments: Sequence[str]) -> None:
    """Replace this process by the command."""
    end = arguments.index("--")
    user, folders, command = arguments[0], [Path(one) for one in arguments[1:end]], arguments[end + 1 :]
    show(folders)
    if user != "root":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.execv(command[0], list(command))  # noqa: S606  # nosec B606  # the launcher's own command


def show(folders: Sequence[Path]) -> None:
    """Enter a mount namespace in which all users can access each folder. Raises OSError."""
    closed = {folder: above for folder in folders if (above := closed_above(folder)) is not None}
    if not closed:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWNS))
    _mount(libc, "none", "/", None, MS_REC | MS_PRIVATE)
    handles = {folder: os.open(folder, os.O_PATH) for folder in closed}
    for above in sorted(set(closed.values())):
        _mount(libc, "tmpfs", str(above), "tmpfs", 0, "mode=0711,size=1m")
    for folder in sorted(closed):
        if not folder.exists():  # otherwise it is below another one of the folders
            folder.mkdir(parents=True)
            _mount(libc, f"/proc/self/fd/{handles[folder]}", str(folder), None, MS_BIND | MS_REC)


def closed_above(folder: Path) -> Path | None:
    """The topmost folder above `folder` that is closed to other users; None if there is none."""
    return next((one for one in reversed(folder.parents) if not one.stat().st_mode & 0o001), None)


def _mount(libc: ctypes.CDLL, source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    kind_bytes = None if kind is None else kind.encode()
    _check(libc.mount(os.fsencode(source), os.fsencode(target), kind_bytes, flags, options.encode()))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main(sys.argv[1:])
