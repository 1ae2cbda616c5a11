"""Tokens: what a person reads when there is none. Only codes decide, never sentences."""

from typing import Any

import pytest

from quartet_cli import api_client, tenant_commands, tokens
from quartet_cli.api import Api
from quartet_cli.errors import QuartetError
from quartet_cli.profiles import Profile

INVALID = (400, {"error": "invalid_request", "error_description": "Any sentence."})
TOKEN = (200, {"access_token": "token"})
TAKEN = (409, {"code": "tenant_taken", "detail": "Any sentence."})
MISSING = (404, {"code": "not_found", "detail": "Any sentence."})


def serve(monkeypatch: pytest.MonkeyPatch, *given: tuple[int, dict[str, Any]]) -> list[str]:
    """Return these responses in this order; returns the list of what is asked for."""
    left, asked = list(given), []

    def ask(method: str, url: str, **_: object) -> tuple[int, dict[str, Any]]:
        asked.append(f"{method} {url}")
        return left.pop(0)

    monkeypatch.setattr(api_client, "send", ask)
    return asked


def create(tenant: str) -> None:
    """The command `tenant create`, as the launcher's client."""
    api = Api(Profile("http://q", tokens.PLATFORM, client_id=tokens.CLIENT, client_secret="secret"))
    tenant_commands.create(api, tenant)


def test_a_missing_tenant_is_found_by_the_code_of_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, INVALID, TOKEN, MISSING)
    with pytest.raises(tokens.NoTenantError, match=r"does not exist.*\./quartet tenants create acme"):
        tokens.fetch("http://q", "acme", None, "secret")
    assert asked[-1] == "GET http://q/users/tenants/acme"


def test_a_deleted_tenant_cannot_be_created_again_and_both_commands_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = (200, {"id": "acme", "status": "deleted"})
    serve(monkeypatch, INVALID, TOKEN, deleted)
    with pytest.raises(tokens.DeletedTenantError, match=r"was deleted.*cannot be reused; choose another id"):
        tokens.fetch("http://q", "acme", None, "secret")
    serve(monkeypatch, TOKEN, TAKEN, deleted)
    with pytest.raises(tokens.DeletedTenantError):
        create("acme")


def test_a_taken_id_of_a_tenant_that_exists_is_a_plain_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, TOKEN, TAKEN, (200, {"id": "acme", "status": "active"}))
    with pytest.raises(QuartetError, match=r"^Any sentence\. \(409\)$"):
        create("acme")


def test_another_invalid_request_is_not_taken_for_a_missing_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, INVALID, TOKEN, (200, {"id": "acme", "status": "active"}))
    with pytest.raises(QuartetError, match=r"^No token for tenant acme: Any sentence\. \(400\)$"):
        tokens.fetch("http://q", "acme", None, "secret")


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("users:raed", "^Scope users:raed is not available. Without --scope"),
        ("users:read users:raed", r"^Scope users:read users:raed is not available \(It lacks users:raed\.\)"),
    ],
)
def test_a_scope_that_is_not_available_is_named(scope: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, (400, {"error": "invalid_scope", "error_description": "It lacks users:raed."}))
    with pytest.raises(QuartetError, match=message):
        tokens.fetch("http://q", "acme", scope, "secret")


def test_the_error_of_a_wrong_secret_names_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, (401, {"error": "invalid_client"}))
    with pytest.raises(QuartetError, match=r"http://q refused the secret of quartet-admin\. Set QUARTET_CLIENT_SECRET"):
        tokens.fetch("http://q", "acme", None, "secret")
