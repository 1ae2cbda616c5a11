"""A server with TLS: its certificate is checked, and `doctor` says what is wrong with it."""

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quartet_testing.authority import Authority

TOKENS = {"access_token": "e30.eyJ0ZW5hbnQiOiJhY21lIn0.x", "refresh_token": "r", "expires_in": 600, "session_id": "1"}


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(TOKENS)

    def do_GET(self) -> None:
        self.answer({"status": "ready", "info": {"version": "9.9.9"}})

    def answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Not into the output of the tests."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    """A server whose certificate ends in three days."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=3, hours=1)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def quartet(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder), "QUARTET_PROFILE": ""}
    command = [sys.executable, "-m", "quartet_cli", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, input=given, env=environment)


def test_a_certificate_that_is_not_trusted_is_refused_before_the_password_is_sent(tmp_path: Path, url: str) -> None:
    shown = quartet(tmp_path, "login", "bjensen", "--url", url, given="horse\n")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"quartet: No answer from {url}: [SSL: CERTIFICATE_VERIFY_FAILED]")
    assert "log in with --ca FILE" in shown.stderr
    assert not (tmp_path / "quartet").exists()


def test_the_authority_of_a_login_is_kept_and_doctor_warns_before_a_certificate_ends(
    tmp_path: Path, url: str, authority: Authority
) -> None:
    shown = quartet(tmp_path, "login", "bjensen", "--url", url, "--ca", str(authority.bundle), given="horse\n")
    assert shown.returncode == 0, shown.stderr
    checked = quartet(tmp_path, "doctor", "--profile", "default", "--json")
    results = {one["check"]: (one["result"], one["text"]) for one in json.loads(checked.stdout)}
    assert results["certificate"] == ("warning", "valid for 3 days")
    assert results["version"] == ("warning", "server 9.9.9, this command 0.1.0")
    assert [results[name][0] for name in ("server", "clock", "token", "users", "metrics")] == ["ok"] * 5
    assert checked.returncode == 0
    listed = quartet(tmp_path, "doctor", "--profile", "default")
    assert "Renew it" in listed.stdout


def test_doctor_names_a_server_that_does_not_answer(tmp_path: Path) -> None:
    shown = quartet(tmp_path, "doctor", "--profile", "none", "--json")
    assert shown.returncode == 7
    [finding] = json.loads(shown.stdout)
    assert "there is no profile none" in finding["text"]
    folder = tmp_path / "quartet"
    folder.mkdir()
    (folder / "away.json").write_text('{"url": "http://127.0.0.1:1", "tenant": "acme"}')
    shown = quartet(tmp_path, "doctor", "--profile", "away", "--json")
    [finding] = json.loads(shown.stdout)
    assert (shown.returncode, finding["result"]) == (7, "problem")
    assert finding["text"].startswith("No answer from http://127.0.0.1:1: ")
