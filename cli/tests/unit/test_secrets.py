"""deploy/secrets.sh, run for real."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT, SERVICES


def make(folder: Path) -> dict[str, str]:
    """All secrets by path."""
    subprocess.run(["/bin/sh", str(CHECKOUT / "deploy/secrets.sh"), str(folder)], check=True)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert make(tmp_path) == make(tmp_path)


def test_a_lost_secret_is_made_again_and_the_others_stay(tmp_path: Path) -> None:
    before = make(tmp_path)
    (tmp_path / "groups/quartet_client_secret").unlink()
    after = make(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"groups/quartet_client_secret"}


def test_a_secret_that_was_left_empty_is_made_again(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "postgres/password").write_text("")
    assert make(tmp_path)["postgres/password"]


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    make(tmp_path)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_two_stacks_share_no_secret(tmp_path: Path) -> None:
    assert not set(make(tmp_path / "a").values()) & set(make(tmp_path / "b").values())


@pytest.mark.parametrize("service", ["users", "audit"])
def test_a_master_key_is_32_bytes_of_base64url(tmp_path: Path, service: str) -> None:
    assert len(base64.urlsafe_b64decode(make(tmp_path)[f"{service}/quartet_master_key"])) == 32


def test_users_knows_the_client_of_the_launcher_and_of_each_service_by_their_secrets(tmp_path: Path) -> None:
    made = make(tmp_path)
    clients = {each["client_id"]: each for each in json.loads(made["users/quartet_bootstrap_clients"])}
    assert clients["quartet-admin"]["client_secret"] == made["admin/quartet_client_secret"]
    assert "platform:admin" in clients["quartet-admin"]["scopes"]
    for service in SERVICES:
        client = clients[f"quartet-{service}"]
        assert client["client_secret"] == made[f"{service}/quartet_client_secret"]
        assert (client["scopes"], client["tenants"]) == (["service"], ["*"])


def test_the_servers_and_their_clients_have_the_same_passwords(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert made["redis/auth.conf"] == f"requirepass {made['redis/password']}\n"
    assert f"default_pass = {made['rabbitmq/password']}\n" in made["rabbitmq/auth.conf"]
    for service in SERVICES:
        assert made[f"{service}/quartet_redis_password"] == made["redis/password"]
        assert made[f"{service}/quartet_broker_password"] == made["rabbitmq/password"]
        assert made[f"{service}/quartet_private_token"] == made["prometheus/token"]


NEW = (
    '"audit:write",',
    '"audit:erase",',
    '"audit:streams",',
    '"audit:retention",',
    '"origins:manage",',
    '"alerts:manage",',
)
"""What no earlier release has given."""


@pytest.mark.parametrize("missing", [NEW, (*NEW, '"privileged:write",')])
def test_the_administrator_of_an_earlier_release_gets_the_scopes_of_this_one(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    new = make(tmp_path)
    file = tmp_path / "users/quartet_bootstrap_clients"
    for scope in missing:
        file.write_text(file.read_text().replace(scope, ""))
    assert make(tmp_path) == new == make(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("removed", ['"privileged:write",', '"users:write",', ',"privileged:write","platform:admin"'])
def test_scopes_of_the_administrator_that_an_operator_has_chosen_stay(tmp_path: Path, removed: str) -> None:
    make(tmp_path)
    file = tmp_path / "users/quartet_bootstrap_clients"
    chosen = file.read_text().replace(removed, "")
    file.write_text(chosen)
    assert make(tmp_path)["users/quartet_bootstrap_clients"] == chosen
