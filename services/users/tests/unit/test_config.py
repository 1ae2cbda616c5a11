"""The users service's own settings."""

import base64
import json
from pathlib import Path

import pytest

from quartet_common.config.settings import load_config
from quartet_users.config import UsersConfig

CLIENTS = [{"client_id": "quartet-admin", "client_secret": "s" * 20, "scopes": ["users:read"], "tenants": ["*"]}]

ENVIRONMENT = {
    "QUARTET_DATABASE_URL": "postgresql://quartet_users@127.0.0.1/quartet",
    "QUARTET_DATABASE_PASSWORD": "p",
    "QUARTET_REDIS_URL": "redis://127.0.0.1/0",
    "QUARTET_REDIS_PASSWORD": "p",
    "QUARTET_BROKER_URL": "amqp://quartet@127.0.0.1/",
    "QUARTET_BROKER_PASSWORD": "p",
    "QUARTET_USERS_URL": "http://127.0.0.1:8000",
    "QUARTET_GROUPS_URL": "http://127.0.0.1:8001",
    "QUARTET_CLIENT_SECRET": "p",
    "QUARTET_MASTER_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
    "QUARTET_BOOTSTRAP_CLIENTS": json.dumps(CLIENTS),
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QUARTET_SECRETS_DIR", str(tmp_path))
    return monkeypatch


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        load_config(UsersConfig)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_clients_are_read_from_json(environment: pytest.MonkeyPatch) -> None:
    found = load_config(UsersConfig).bootstrap_clients.clients
    assert [(one.client_id, one.client_secret.get_secret_value()) for one in found] == [("quartet-admin", "s" * 20)]


def test_groups_may_be_elsewhere_or_nowhere(environment: pytest.MonkeyPatch) -> None:
    assert load_config(UsersConfig).groups_url == "http://127.0.0.1:8001"
    environment.delenv("QUARTET_GROUPS_URL")
    assert load_config(UsersConfig).groups_url == ""


def test_clients_and_key_may_come_from_secret_files(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("QUARTET_BOOTSTRAP_CLIENTS", "QUARTET_MASTER_KEY"):
        environment.delenv(name)
        (tmp_path / name.lower()).write_text(ENVIRONMENT[name] + "\n")
    assert load_config(UsersConfig).bootstrap_clients.clients[0].client_id == "quartet-admin"


@pytest.mark.parametrize("key", ["", "short", base64.urlsafe_b64encode(bytes(31)).decode(), "ä" * 43])
def test_a_master_key_of_the_wrong_size_is_named_but_not_shown(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    environment.setenv("QUARTET_MASTER_KEY", key)
    said = complaint(capsys)
    assert "QUARTET_MASTER_KEY" in said
    assert not key or key not in said


@pytest.mark.parametrize(
    "text", ["no json", "{}", '[{"client_id":"a"}]', json.dumps([{**CLIENTS[0], "scopes": ["users:fly"]}]),
             json.dumps([{**CLIENTS[0], "client_secret": "short"}])],
)  # fmt: skip
def test_clients_that_cannot_be_read_are_named(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    environment.setenv("QUARTET_BOOTSTRAP_CLIENTS", text)
    assert "QUARTET_BOOTSTRAP_CLIENTS" in complaint(capsys)


def test_what_a_list_lacks_is_told_by_its_place_and_not_as_a_list_that_is_missing(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    half = {name: value for name, value in CLIENTS[0].items() if name not in ("tenants", "client_id")}
    environment.setenv("QUARTET_BOOTSTRAP_CLIENTS", json.dumps([CLIENTS[0], half, {**CLIENTS[0], "scopes": ["x"]}]))
    assert [line.strip() for line in complaint(capsys).splitlines()[1:]] == [
        "QUARTET_BOOTSTRAP_CLIENTS.1.client_id: missing",
        "QUARTET_BOOTSTRAP_CLIENTS.1.tenants: missing",
        "QUARTET_BOOTSTRAP_CLIENTS.2.scopes: unknown scopes: x",
    ]


def test_all_that_is_missing_is_named_at_once(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("QUARTET_MASTER_KEY", "QUARTET_DATABASE_URL", "QUARTET_CLIENT_SECRET"):
        environment.delenv(name)
    said = complaint(capsys)
    assert all(name in said for name in ("QUARTET_MASTER_KEY", "QUARTET_DATABASE_URL", "QUARTET_CLIENT_SECRET"))
