"""Which server a command uses, with which token, and what it says where a request is refused."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from quartet_cli import api_client, profiles, tables, tokens
from quartet_cli.api import Api, command, connect
from quartet_cli.api_client import error_of
from quartet_cli.errors import QuartetError
from quartet_cli.profiles import Profile

TOKEN = (200, {"access_token": "token"})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No profiles and no variables of the person who runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("QUARTET_CLIENT_SECRET", "secret")
    monkeypatch.delenv("QUARTET_PROFILE", raising=False)
    return tmp_path


def serve(monkeypatch: pytest.MonkeyPatch, *given: tuple[int, dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return these responses in this order; returns the list of requests."""
    left, asked = list(given), []

    def send(method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        asked.append((method, url, options))
        return left.pop(0)

    monkeypatch.setattr(api_client, "send", send)
    return asked


def test_a_url_is_used_as_the_launchers_client_and_wins_over_the_profile_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUARTET_PROFILE", "work")
    found = connect("http://q/")
    assert (found.url, found.profile.client_id, found.profile.tenant) == ("http://q", tokens.CLIENT, "default")
    with pytest.raises(typer.BadParameter, match="not both"):
        connect("http://q", "work")


def test_a_profile_is_that_of_the_option_else_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("work", "home"):
        profiles.save(name, Profile(f"https://{name}", "acme", user_name="bj"))
    monkeypatch.setenv("QUARTET_PROFILE", "work")
    assert connect().url == "https://work"
    assert connect(profile="home").url == "https://home"
    with pytest.raises(QuartetError, match=r"no profile none\. The profiles are: home, work\."):
        connect(profile="none")


def test_a_session_is_of_one_tenant(folder: Path) -> None:
    profiles.save("work", Profile("https://work", "acme", user_name="bj"))
    assert connect(profile="work", tenant="acme").profile.tenant == "acme"
    with pytest.raises(QuartetError, match=r"tenant globex, and profile work is of bj of tenant acme\."):
        connect(profile="work", tenant="globex")
    profiles.save("machine", Profile("https://work", "acme", client_id="quartet-admin", client_secret="x"))
    assert connect(profile="machine", tenant="globex").profile.tenant == "globex"


def test_outside_of_a_checkout_the_profile_default_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "IS_CHECKOUT", False)
    profiles.save("default", Profile("https://work", "acme", user_name="bj"))
    assert connect().name == "default"


def test_a_refused_token_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = (401, {"detail": "The token has expired."})
    asked = serve(monkeypatch, TOKEN, refused, (200, {"access_token": "second"}), (200, {"id": "1"}))
    api = Api(Profile("http://q", "acme", client_id="acme.x", client_secret="secret"))
    assert api.ask("GET", "/x") == {"id": "1"}
    assert [options.get("headers") for _, url, options in asked if url == "http://q/x"] == [
        {"Authorization": "Bearer token"},
        {"Authorization": "Bearer second"},
    ]
    serve(monkeypatch, refused, TOKEN, refused)
    with pytest.raises(QuartetError, match=r"^The token has expired\. \(401\) Log in again: \./quartet login$"):
        api.ask("GET", "/x")


def test_all_pages_of_a_list_are_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"tenants": [{"id": "acme"}, {"id": "globex"}], "next": "second"}
    last = {"tenants": [{"id": "initech"}], "next": None}
    pages: list[tuple[int, dict[str, Any]]] = [(200, first), (200, last)]
    api = Api(Profile("http://q", "acme", client_id="acme.x", client_secret="secret"))
    asked = serve(monkeypatch, TOKEN, *pages)
    assert [one["id"] for one in api.list_all("/x", "tenants", status="active", other=None)] == [
        "acme",
        "globex",
        "initech",
    ]
    assert [options["params"] for _, _, options in asked[1:]] == [
        {"status": "active", "count": 1000, "cursor": ""},
        {"status": "active", "count": 1000, "cursor": "second"},
    ]
    serve(monkeypatch, *pages)
    assert [one["id"] for one in api.list_all("/x", "tenants", 1)] == ["acme"]


def test_a_command_has_the_options_of_a_server_and_its_own() -> None:
    app = typer.Typer()
    seen: list[tuple[str, str | None, str]] = []

    @command(app)
    def show(api: Api, name: str) -> None:
        """Show it."""
        seen.append((api.url, api.profile.tenant, name))

    @command(app, platform=True)
    def all_(api: Api) -> None:
        """Show all."""
        seen.append((api.url, api.profile.tenant, ""))

    run = CliRunner().invoke
    assert run(app, ["show", "x", "--url", "http://q", "--tenant", "acme"]).exit_code == 0
    assert run(app, ["all", "--url", "http://q"]).exit_code == 0
    assert seen == [("http://q", "acme", "x"), ("http://q", "quartet", "")]
    assert run(app, ["all", "--url", "http://q", "--tenant", "acme"]).exit_code == 2
    assert run(app, ["show", "x", "--url", "http://q", "--profile", "p"]).exit_code == 2


@pytest.mark.parametrize(
    ("status", "answer", "text"),
    [
        (404, {"detail": "There is none."}, "There is none. (404)"),
        (403, {"detail": "It needs users:write."}, "It needs users:write. (403) Use a user or a client with the scope"),
        (429, {"detail": "Too many.", api_client.RETRY: "7"}, "Too many. (429) Repeat the command in 7 s."),
        (503, {"detail": "Later."}, "Later. (503) Repeat the command, or look for the reason: ./quartet doctor"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, answer: dict[str, Any], text: str) -> None:
    assert str(error_of(status, answer)).startswith(text)


class Busy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"detail": "Too many."}).encode() if self.path == "/busy" else b"<html>"
        self.send_response(429)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Not into the output of the tests."""


def test_the_time_to_wait_is_that_of_the_response_and_other_servers_are_recognised() -> None:
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert api_client.send("GET", f"{url}/busy") == (429, {"detail": "Too many.", api_client.RETRY: "7"})
        with pytest.raises(QuartetError, match=rf"^{url} sent 429 without JSON\. Is this the URL of Quartet\?$"):
            api_client.send("GET", f"{url}/x")
        server.shutdown()


def test_a_resource_is_shown_by_its_attributes(capsys: pytest.CaptureFixture[str]) -> None:
    emails = [{"value": "b@example.com", "type": "work"}, {"value": "c@example.com"}]
    tables.show_one(
        {"id": "1", "name": {"givenName": "B"}, "emails": emails, "active": False, "x": None}, as_json=False
    )
    assert capsys.readouterr().out.splitlines() == [
        "id              1",
        "name.givenName  B",
        "emails          b@example.com (work), c@example.com",
        "active          no",
    ]


def test_nothing_is_destroyed_without_a_yes() -> None:
    with pytest.raises(QuartetError, match="users delete --yes"):
        tables.confirm("Delete?", "users delete", yes=False)
    tables.confirm("Delete?", "users delete", yes=True)
