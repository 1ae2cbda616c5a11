"""The tool that asks for a token between containers: how it proves who it is."""

import base64
import importlib.util
import urllib.error
import urllib.request
from email.message import Message
from io import BytesIO
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote_plus

import pytest

TOOL = Path(__file__).parents[3] / "deploy/compose/token.py"


def load() -> ModuleType:
    """The tool, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("compose_token", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_a_refusal_is_a_sentence_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tool = load()
    (tmp_path / "secret").write_text("example")
    monkeypatch.setattr(tool, "SECRET", tmp_path / "secret")

    def refuse(_: urllib.request.Request) -> BytesIO:
        body = BytesIO(b'{"error": "invalid_request", "error_description": "There is no such tenant."}')
        raise urllib.error.HTTPError("http://users-api:8000", 400, "Bad Request", Message(), body)

    monkeypatch.setattr(tool, "connect", refuse)
    assert tool.main(["--tenant", "acme", "--url", "http://users-api:8000"]) == 1
    assert capsys.readouterr().err == (
        "No token: There is no such tenant. (tenant acme, status 400) To create the tenant, add --create.\n"
    )


def test_a_secret_of_any_letters_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = load()
    sent = []

    def answer(request: urllib.request.Request) -> BytesIO:
        sent.append(request)
        return BytesIO(b'{"access_token": "one"}')

    monkeypatch.setattr(tool, "connect", answer)
    assert tool.request_token("http://users-api:8000", "a+b%41:ü", "acme", None) == "one"
    proof = base64.b64decode(sent[0].headers["Authorization"].removeprefix("Basic ")).decode()
    assert [unquote_plus(part) for part in proof.split(":", 1)] == ["quartet-admin", "a+b%41:ü"]
