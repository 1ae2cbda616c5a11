"""The accounts of a stack that root starts: `quartet`, and `postgres` for PostgreSQL."""

import os
import pwd
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from quartet_cli.errors import QuartetError

NAME: Final = "quartet"


def is_root() -> bool:
    """Whether this process is root."""
    return os.getuid() == 0


@cache
def quartet_user() -> pwd.struct_passwd:
    """The system account `quartet`, created if it is missing. Only root may call this. Raises QuartetError."""
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", NAME]
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        return pwd.getpwnam(NAME)  # another command may have created it meanwhile
    except KeyError:
        reason = done.stderr.strip()
        raise QuartetError(
            f"Cannot create the system user {NAME} ({reason}). Create it, or run as an ordinary user."
        ) from None


def postgres_user() -> pwd.struct_passwd:
    """The account of PostgreSQL if root starts the stack, since PostgreSQL refuses root. Raises QuartetError."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise QuartetError(
            "PostgreSQL cannot run as root, and there is no user postgres. Create it, or run as an ordinary user."
        ) from None


def can_reach(user: pwd.struct_passwd, folder: Path) -> bool:
    """Whether a user can access paths below `folder`."""
    test = ["test", "-x", f"{folder}/."]
    while not folder.exists():
        folder = folder.parent
        test[2] = f"{folder}/."
    done = subprocess.run(test, user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/", check=False)
    return done.returncode == 0


def give(folder: Path, account: pwd.struct_passwd) -> None:
    """Make `account` the owner of a folder and its contents, once: earlier releases ran the stack as root."""
    if folder.stat().st_uid == account.pw_uid:
        return
    for _, folders, files, descriptor in os.fwalk(folder):  # follows no symbolic links, also under a race
        for name in (*folders, *files):
            os.chown(name, account.pw_uid, account.pw_gid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, account.pw_uid, account.pw_gid)  # last: after an interruption, the next start repeats it


def let_read(folder: Path, account: pwd.struct_passwd) -> None:
    """Let the group of `account` read the files in a folder of root."""
    for path, mode in ((folder, 0o750), *((file, 0o640) for file in folder.iterdir())):
        os.chown(path, 0, account.pw_gid, follow_symlinks=False)
        path.chmod(mode)
