"""The session on the command line, used by several commands at once and against a real HTTP server."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from quartet_cli.layout import Home
from quartet_cli.logins import Kept
from quartet_testing.conditions import eventually


class Users(ThreadingHTTPServer):
    """In the place of the users service: gives a refresh token once, and ends the session where it comes again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.refreshed: list[str] = []
        self.may_answer = threading.Event()
        self.delete_status = 204

    def refresh(self, token: str) -> tuple[int, dict[str, object]]:
        self.refreshed.append(token)
        self.may_answer.wait(20)
        if self.refreshed.count(token) > 1:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "new", "refresh_token": f"{token}+", "expires_in": 600}


class Answers(BaseHTTPRequestHandler):
    server: Users

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.answer(*self.server.refresh(form["refresh_token"][0]))

    def do_GET(self) -> None:
        self.answer(200, {"userName": "bjensen", "id": "42"})

    def do_DELETE(self) -> None:
        self.answer(self.server.delete_status, {"detail": "Not now."})

    def answer(self, status: int, document: dict[str, object]) -> None:
        body = b"" if status == 204 else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Not into the output of the tests."""


@pytest.fixture
def users() -> Iterator[Users]:
    server = Users()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.may_answer.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path.resolve())


def keep(home: Home, users: Users, expires_in: float) -> None:
    Kept(users.url, "acme", "bjensen", "0190", "old", time.time() + expires_in, "refresh").save(home.login_file)


def start(home: Home, command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "QUARTET_HOME": str(home.path)}
    arguments = [sys.executable, "-m", "quartet_cli", command]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def opened(process: subprocess.Popen[str]) -> set[Path]:
    """The files that a process has open."""
    return {link.resolve() for link in Path(f"/proc/{process.pid}/fd").iterdir()}


async def test_two_commands_at_once_refresh_once_and_the_session_lives(home: Home, users: Users) -> None:
    keep(home, users, expires_in=1)
    commands = [start(home, "whoami") for _ in range(2)]

    async def both_want_tokens() -> bool:
        return len(users.refreshed) == 2 or all(home.login_lock in opened(one) for one in commands)

    await eventually(both_want_tokens, "both commands are at the refresh")
    users.may_answer.set()
    said = [one.communicate(timeout=20) for one in commands]
    assert [one.returncode for one in commands] == [0, 0], said
    assert users.refreshed == ["refresh"]
    assert Kept.load(home.login_file).refresh_token == "refresh+"


async def test_a_refresh_does_not_bring_back_a_session_that_a_logout_ended_meanwhile(home: Home, users: Users) -> None:
    keep(home, users, expires_in=1)
    logout = start(home, "logout")

    async def begun() -> bool:
        return users.refreshed == ["refresh"]

    await eventually(begun, "the logout refreshes")
    whoami = start(home, "whoami")

    async def waits() -> bool:
        return len(users.refreshed) == 2 or home.login_lock in opened(whoami)

    await eventually(waits, "the other command wants to refresh")
    users.may_answer.set()
    assert "Logged out bjensen" in logout.communicate(timeout=20)[0]
    assert "Not logged in" in whoami.communicate(timeout=20)[1]
    assert (logout.returncode, whoami.returncode, users.refreshed) == (0, 1, ["refresh"])
    assert not home.login_file.exists()


def test_a_logout_that_the_server_did_not_carry_out_fails_and_forgets_the_tokens(home: Home, users: Users) -> None:
    users.delete_status = 503
    keep(home, users, expires_in=600)
    logout = start(home, "logout")
    said, error = logout.communicate(timeout=20)
    assert (logout.returncode, said) == (1, "")
    assert f"the session at {users.url} may go on" in error
    assert "Not now. (503)" in error
    assert not home.login_file.exists()
