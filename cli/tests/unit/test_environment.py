"""What the service processes are told."""

import pytest

from quartet_cli import environment
from quartet_cli.layout import SERVICES, Home, home_path
from quartet_cli.state import port_names

PORTS = {name: 20000 + index for index, name in enumerate((*port_names(SERVICES), "proxy"))}


def variables(process: str) -> dict[str, str]:
    return environment.service(Home(home_path()), PORTS, "groups", process)


def test_an_api_listens_on_its_own_port_and_on_a_private_one() -> None:
    told = variables("api")
    assert told["QUARTET_PORT"] == str(PORTS["groups-api"])
    assert told["QUARTET_PRIVATE_PORT"] == str(PORTS["groups-api-private"])


def test_a_worker_has_a_private_port_only() -> None:
    told = variables("worker")
    assert "QUARTET_PORT" not in told
    assert told["QUARTET_PRIVATE_PORT"] == str(PORTS["groups-worker-private"])


def test_each_service_has_a_role_and_a_secrets_folder_of_its_own() -> None:
    told = variables("api")
    assert told["QUARTET_DATABASE_URL"] == f"postgresql://quartet_groups@127.0.0.1:{PORTS['postgres']}/quartet"
    assert told["QUARTET_SECRETS_DIR"].endswith("/secrets/groups")


def test_services_know_where_the_others_are() -> None:
    for other in SERVICES:
        assert variables("worker")[f"QUARTET_{other.upper()}_URL"] == f"http://127.0.0.1:{PORTS[f'{other}-api']}"


def test_nothing_of_the_callers_environment_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_PASSWORD", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com")
    told = variables("api")
    assert "CLOUD_PASSWORD" not in told
    assert "HTTP_PROXY" not in told


def test_settings_of_services_are_handed_on_and_neither_secrets_nor_what_the_launcher_decides() -> None:
    mine = {"QUARTET_LOG_LEVEL": "DEBUG", "QUARTET_LIMIT_CLIENT": "off", "QUARTET_PUBLIC_URL": "https://id.example.com"}
    others = {"QUARTET_HOME": "/x", "QUARTET_CLIENT_SECRET": "s", "QUARTET_USERS_URL": "http://x", "MY_LEVEL": "1"}
    others |= {"QUARTET_PROFILE": "acme"}
    assert environment.handed_on({**mine, **others}) == mine
