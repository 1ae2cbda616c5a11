"""The session on the command line, used by several commands at once and against a real HTTP server."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from quartet_cli import profiles
from quartet_cli.profiles import Profile
from quartet_testing.conditions import eventually

OLD = "old"


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
        if self.headers["Authorization"] == "Bearer refused":
            self.answer(401, {"detail": "The token was revoked."})
        else:
            self.answer(200, {"userName": "bjensen", "id": "42", "Resources": []})

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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the profiles, of the commands too."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path.resolve()))
    monkeypatch.delenv("QUARTET_PROFILE", raising=False)
    return profiles.folder()


def keep(users: Users, expires_in: float, access_token: str = OLD) -> None:
    profile = Profile(users.url, "acme", user_name="bjensen", session_id="0190", access_token=access_token)
    profile.expires_at, profile.refresh_token = time.time() + expires_in, "refresh"
    profiles.save("default", profile)


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "quartet_cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def opened(process: subprocess.Popen[str]) -> set[Path]:
    """The files that a process has open."""
    return {link.resolve() for link in Path(f"/proc/{process.pid}/fd").iterdir()}


async def test_two_commands_at_once_refresh_once_and_the_session_lives(folder: Path, users: Users) -> None:
    keep(users, expires_in=1)
    commands = [start("whoami") for _ in range(2)]

    async def both_want_tokens() -> bool:
        return len(users.refreshed) == 2 or all(folder / "default.lock" in opened(one) for one in commands)

    await eventually(both_want_tokens, "both commands are at the refresh")
    users.may_answer.set()
    said = [one.communicate(timeout=20) for one in commands]
    assert [one.returncode for one in commands] == [0, 0], said
    assert users.refreshed == ["refresh"]
    assert profiles.load("default").refresh_token == "refresh+"


async def test_a_refresh_does_not_bring_back_a_session_that_a_logout_has_ended(folder: Path, users: Users) -> None:
    keep(users, expires_in=1)
    logout = start("logout")

    async def begun() -> bool:
        return users.refreshed == ["refresh"]

    await eventually(begun, "the logout refreshes")
    whoami = start("whoami")

    async def waits() -> bool:
        return len(users.refreshed) == 2 or folder / "default.lock" in opened(whoami)

    await eventually(waits, "the other command wants to refresh")
    users.may_answer.set()
    assert "Logged out bjensen" in logout.communicate(timeout=20)[0]
    assert "Not logged in" in whoami.communicate(timeout=20)[1]
    assert (logout.returncode, whoami.returncode, users.refreshed) == (0, 1, ["refresh"])
    assert not (folder / "default.json").exists()


def test_a_logout_that_the_server_did_not_carry_out_fails_and_forgets_the_tokens(folder: Path, users: Users) -> None:
    users.delete_status = 503
    keep(users, expires_in=600)
    logout = start("logout")
    said, error = logout.communicate(timeout=20)
    assert (logout.returncode, said) == (1, "")
    assert f"the session at {users.url} may go on" in error
    assert "Not now. (503)" in error
    assert not (folder / "default.json").exists()


def test_a_token_that_the_server_refuses_before_its_end_is_replaced(folder: Path, users: Users) -> None:
    users.may_answer.set()
    keep(users, expires_in=600, access_token="refused")
    listed = start("users", "list", "--json", "--profile", "default")
    assert listed.communicate(timeout=20) == ("[]\n", "")
    assert (listed.returncode, users.refreshed) == (0, ["refresh"])
    assert profiles.load("default").access_token == "new"


def test_a_session_that_has_ended_is_an_error_with_the_command_to_log_in(folder: Path, users: Users) -> None:
    users.may_answer.set()
    users.refreshed.append("refresh")
    keep(users, expires_in=0)
    listed = start("users", "list", "--profile", "default")
    assert listed.communicate(timeout=20) == ("", "quartet: The session has ended. Run: ./quartet login\n")
    assert listed.returncode == 1
