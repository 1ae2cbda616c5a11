"""The tool that asks for a token between containers: how it proves who it is."""

import base64
import importlib.util
import urllib.request
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

TOOL = Path(__file__).parents[3] / "deploy/compose/token.py"


def test_a_secret_of_any_letters_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("compose_token", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    sent = []

    def answer(request: urllib.request.Request) -> BytesIO:
        sent.append(request)
        return BytesIO(b'{"access_token": "one"}')

    monkeypatch.setattr(tool, "connect", answer)
    assert tool.request_token("http://users-api:8000", "a+b%41:ü", "acme", None) == "one"
    proof = base64.b64decode(sent[0].headers["Authorization"].removeprefix("Basic ")).decode()
    assert [unquote_plus(part) for part in proof.split(":", 1)] == ["quartet-admin", "a+b%41:ü"]
