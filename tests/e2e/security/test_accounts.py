"""The accounts of a running stack: what an attacker would get who takes over one of its processes."""

import os

import psutil
import pytest

from quartet_cli.stack import Stack

pytestmark = pytest.mark.local_stack


def test_nothing_but_the_supervisor_and_the_master_of_nginx_runs_as_root(stack: Stack) -> None:
    below = psutil.Process(stack.supervisor.pid()).children(recursive=True)
    assert len(below) >= 14
    as_root = [" ".join(process.cmdline()) for process in below if process.uids().effective == 0]
    assert [command for command in as_root if not command.startswith("nginx: master process")] == []
    workers = [process for process in below if " ".join(process.cmdline()).startswith("nginx: worker process")]
    assert workers
    services = [process for process in below if "-m" in process.cmdline()]
    assert len({process.uids().effective for process in (*workers, *services)}) == 1
    assert len(services) == 8


def test_only_root_writes_in_the_folders_in_which_root_does(stack: Stack) -> None:
    """A process that puts a link there makes root read, write or give away another file of the machine."""
    home = stack.home
    folders = (home.path, home.data, home.data / "nginx", home.secrets, home.run, home.logs, home.socket.parent)
    for folder in (*folders, *home.secrets.iterdir()):
        found = folder.lstat()
        assert (found.st_uid, found.st_mode & 0o022) == (os.getuid(), 0), folder
