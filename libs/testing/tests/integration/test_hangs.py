"""A run of tests that hang and of a process that dies comes to its end, and its failures are printed at once."""

import re
import subprocess
import sys
from pathlib import Path

SETTINGS = """
[pytest]
addopts = --import-mode=importlib
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
timeout = 1
timeout_method = signal
markers = slow
"""
PLUGINS = """
from quartet_testing import hangs

pytest_plugins = ["quartet_testing.plugin"]
hangs.AGAIN = 1.0
hangs.ATTEMPTS = 1
"""
FIRST = "def test_first(): pass"
HANGING = """
import asyncio
import threading

import pytest


async def forever():
    await asyncio.Event().wait()


async def test_awaits():
    await forever()


def test_blocks():
    threading.Event().wait()


@pytest.fixture
async def endless():
    yield
    await forever()


async def test_fails_and_hangs_at_its_end(endless):
    assert [] == ["reason"]


def test_cannot_be_failed():
    while True:
        try:
            threading.Event().wait()
        except BaseException:
            pass


async def test_next():
    await asyncio.sleep(0)


@pytest.mark.slow
def test_last(request):
    assert request.node.get_closest_marker("timeout").args == (900,)
"""


def test_each_hanging_test_fails_with_its_stacks_and_the_others_are_run(tmp_path: Path) -> None:
    files = {"pytest.ini": SETTINGS, "conftest.py": PLUGINS, "first/test_first.py": FIRST, "test_hanging.py": HANGING}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    options = ("-n", "1", "--dist", "loadscope", "-v", "-p", "no:cacheprovider", "--disable-plugin-autoload")
    plugins = (
        argument for name in ("pytest_asyncio.plugin", "pytest_timeout", "xdist.plugin") for argument in ("-p", name)
    )
    command = (sys.executable, "-m", "pytest", *options, *plugins)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert re.search(r"= 4 failed, 3 passed, .*1 error in", done.stdout), done.stdout
    during = done.stdout[: done.stdout.index("= ERRORS =")]
    assert "failed (call): test_hanging.py::test_awaits" in during
    assert re.search(r"task Task-\d+: test_awaits \(.*test_hanging.py:\d+\) > forever \(.*\) > Event.wait", during)
    assert re.search(r"test_blocks(?s:.*)threading.Event\(\).wait\(\)(?s:.*)hangs: not done within 1 s", during)
    assert "failed (teardown): test_hanging.py::test_fails_and_hangs_at_its_end" in during
    assert re.search(r"'gw0' crashed while running 'test_hanging.py::test_cannot_be_failed", during)
    assert re.search(r'File ".*test_hanging.py", line \d+ in test_cannot_be_failed', done.stderr)
