"""The session that a person keeps on the command line."""

import base64
import io
import json
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from quartet_cli import api_client, logins, profiles
from quartet_cli.errors import QuartetError
from quartet_cli.profiles import Profile

ANSWER = {"access_token": "access", "refresh_token": "refresh", "expires_in": 600, "session_id": "0190"}


class Server:
    """In the place of the users service: gives the answers that it was given, in order."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        self.asked.append((method, url, options))
        return self.answers.pop(0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("QUARTET_PROFILE", raising=False)
    return tmp_path / "quartet"


def serve(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, dict[str, Any]]) -> Server:
    server = Server(*answers)
    monkeypatch.setattr(logins, "send", server.ask)
    return server


def kept(home: Path, expires_in: float = 600) -> Path:
    profile = Profile("https://q", "acme", user_name="bjensen", session_id="0190", access_token="access")
    profile.expires_at, profile.refresh_token = time.time() + expires_in, "refresh"
    profiles.save("default", profile)
    return home / "default.json"


def test_a_login_is_kept_for_its_owner_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, (200, ANSWER))
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery staple\n"))
    logins.login("bjensen", "acme", "https://q/")
    path = home / "default.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert "horse" not in path.read_text()
    [(_, url, options)] = server.asked
    assert (url, options["json"]["password"]) == ("https://q/users/login", "correct horse battery staple")


def test_a_password_that_has_to_be_changed_is_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, (403, {"code": "password_change_required"}), (200, ANSWER))
    monkeypatch.setattr(sys, "stdin", io.StringIO("the old one\nthe new one that is long\n"))
    logins.login("bjensen", "acme", "https://q")
    assert server.asked[1][2]["json"]["new_password"] == "the new one that is long"
    assert profiles.load("default").refresh_token == "refresh"


def test_a_refusal_is_reported_and_stores_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, (401, {"detail": "They do not belong together."}))
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    with pytest.raises(QuartetError, match="They do not belong together"):
        logins.login("bjensen", "acme", "https://q")
    assert not home.exists()


def test_a_client_is_logged_in_by_a_token_which_names_its_tenant(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = base64.urlsafe_b64encode(b'{"tenant":"acme"}').decode().rstrip("=")
    server = Server((200, {"access_token": f"e30.{claims}.x"}))
    monkeypatch.setattr(api_client, "send", server.ask)
    monkeypatch.setattr(sys, "stdin", io.StringIO("the secret\n"))
    logins.login(url="https://q", client_id="acme.x", profile="machine")
    [(_, url, options)] = server.asked
    assert (url, options["auth"]) == ("https://q/oauth2/token", ("acme.x", "the+secret"))
    assert "tenant" not in options["data"]
    kept = profiles.load("machine")
    assert (kept.tenant, kept.client_secret, kept.who) == ("acme", "the secret", "client acme.x")


@pytest.mark.parametrize("url", ["http://quartet.example.com", "http://192.0.2.7:8080", "http://localhost.example"])
def test_a_password_is_not_sent_without_tls_to_another_machine(home: Path, url: str) -> None:
    with pytest.raises(QuartetError, match=rf"^{url} would send the password without TLS\. Use https://"):
        logins.login("bjensen", url=url)


@pytest.mark.parametrize(
    "url", ["quartet.example.com", "ftp://q", "https://", "https://q:x", "https://me@q", "https://[q"]
)
def test_a_url_that_is_not_that_of_a_server_is_refused(home: Path, url: str) -> None:
    with pytest.raises(QuartetError, match="--url must be the URL of a server"):
        logins.login("bjensen", url=url)


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "-x", "x" * 64])
def test_a_name_that_is_not_that_of_a_profile_is_refused_before_a_password_is_asked_for(home: Path, name: str) -> None:
    with pytest.raises(QuartetError, match="A profile's name has up to 63"):
        profiles.path_of(name)
    if name:
        with pytest.raises(QuartetError, match="A profile's name has up to 63"):
            logins.login("bjensen", url="https://q", profile=name)


def test_certificates_that_cannot_be_read_are_refused_before_a_password_is_asked_for(home: Path) -> None:
    with pytest.raises(QuartetError, match=r"none\.pem is not a file with certificates"):
        logins.login("bjensen", url="https://q", ca=Path("none.pem"))


def test_profiles_are_listed_with_the_one_that_commands_use(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(home)
    profiles.save("machine", Profile("https://q", "acme", client_id="acme.x", client_secret="secret"))
    logins.list_profiles(as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [(one["profile"], one["who"], one["used"]) for one in found] == [
        ("default", "bjensen", None),
        ("machine", "client acme.x", None),
    ]
    monkeypatch.setenv("QUARTET_PROFILE", "machine")
    logins.list_profiles()
    shown = capsys.readouterr().out
    assert "secret" not in shown
    assert [line.split()[0] for line in shown.splitlines() if "by default" in line] == ["machine"]


def test_who_is_logged_in_is_asked_of_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(home)
    serve(monkeypatch, (200, {"userName": "bjensen", "id": "42"}))
    logins.whoami()
    assert "bjensen of acme" in capsys.readouterr().out


def test_an_access_token_at_its_end_is_refreshed_and_the_new_tokens_are_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(home, expires_in=1)
    fresh = {"access_token": "access 2", "refresh_token": "refresh 2", "expires_in": 600}
    server = serve(monkeypatch, (200, fresh), (200, {"userName": "bjensen", "id": "42"}))
    logins.whoami()
    assert server.asked[0][2]["data"]["refresh_token"] == "refresh"
    assert server.asked[1][2]["headers"] == {"Authorization": "Bearer access 2"}
    assert json.loads(path.read_text())["refresh_token"] == "refresh 2"


def test_a_logout_ends_the_session_and_forgets_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept(home)
    server = serve(monkeypatch, (204, {}))
    logins.logout()
    assert server.asked[0][:2] == ("DELETE", "https://q/users/sessions/0190")
    assert not path.exists()


REFUSED = (401, {"detail": "Not this token."})
OVER = (400, {"error": "invalid_grant"})
FRESH = (200, {"access_token": "access 2", "refresh_token": "refresh 2", "expires_in": 600})
AWAY = (503, {"error_description": "Later."})


@pytest.mark.parametrize(
    "answers", [[(404, {})], [REFUSED, OVER], [REFUSED, FRESH, (204, {})], [REFUSED, FRESH, (404, {})]]
)
def test_a_logout_succeeds_when_the_server_says_that_the_session_is_over(
    home: Path, monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, dict[str, Any]]]
) -> None:
    path = kept(home)
    server = serve(monkeypatch, *answers)
    logins.logout()
    assert not server.answers
    assert not path.exists()


@pytest.mark.parametrize("answers", [[AWAY], [REFUSED, AWAY], [REFUSED, FRESH, REFUSED], [(403, {})], [(429, {})]])
def test_a_logout_fails_when_the_session_may_go_on_and_forgets_its_tokens_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, dict[str, Any]]]
) -> None:
    path = kept(home)
    serve(monkeypatch, *answers)
    with pytest.raises(QuartetError, match="the session at https://q may go on"):
        logins.logout()
    assert not path.exists()


def test_a_server_that_is_away_does_not_end_a_session(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept(home, expires_in=1)
    serve(monkeypatch, AWAY)
    with pytest.raises(QuartetError, match="Cannot refresh the session at https://q: Later"):
        logins.whoami()
    assert path.exists()


def test_without_a_session_the_error_has_the_login_command(home: Path) -> None:
    for command in (logins.whoami, logins.logout):
        with pytest.raises(QuartetError, match=r"^Not logged in: .* Run: \./quartet login"):
            command()
    (home / "default.json").write_text("{")
    with pytest.raises(QuartetError, match="damaged"):
        logins.whoami()
