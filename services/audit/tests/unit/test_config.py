"""The audit service's own settings."""

import base64
import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from quartet_audit.config import AuditConfig
from quartet_common.config.settings import load_config

ENVIRONMENT = {
    "QUARTET_DATABASE_URL": "postgresql://quartet_audit@127.0.0.1/quartet",
    "QUARTET_DATABASE_PASSWORD": "p",
    "QUARTET_REDIS_URL": "redis://127.0.0.1/0",
    "QUARTET_REDIS_PASSWORD": "p",
    "QUARTET_BROKER_URL": "amqp://quartet@127.0.0.1/",
    "QUARTET_BROKER_PASSWORD": "p",
    "QUARTET_USERS_URL": "http://127.0.0.1:8000",
    "QUARTET_CLIENT_SECRET": "p",
    "QUARTET_MASTER_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
}
LOG_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QUARTET_SECRETS_DIR", str(tmp_path))
    return monkeypatch


def test_there_are_no_witnesses_and_no_file_unless_they_are_set(environment: pytest.MonkeyPatch) -> None:
    config = load_config(AuditConfig)
    assert (config.witnesses, config.checkpoint_file, config.accept_log_size) == ((), None, None)


@pytest.mark.parametrize("url", ["https://hook.example:8443/a?b=c", "https://hook.example", "http://127.0.0.1:80/a"])
def test_a_webhook_is_an_https_url_or_on_this_machine(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("QUARTET_CHECKPOINT_WEBHOOK", url)
    assert load_config(AuditConfig).checkpoint_webhook == url


def test_streams_connect_to_public_addresses_and_write_no_files_unless_it_is_set(
    environment: pytest.MonkeyPatch,
) -> None:
    config = load_config(AuditConfig)
    assert (config.stream_networks, config.stream_ca, config.stream_dir) == ((), None, None)
    environment.setenv("QUARTET_STREAM_NETWORKS", '["10.1.0.0/16", "fd00:1::/64"]')
    assert load_config(AuditConfig).stream_networks == (ip_network("10.1.0.0/16"), ip_network("fd00:1::/64"))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("QUARTET_STREAM_NETWORKS", "10.1.0.0/16", "must be JSON such as"),
        ("QUARTET_STREAM_NETWORKS", '["10.1.0.1/16"]', "host bits set"),
        ("QUARTET_STREAM_NETWORKS", '["siem.example.com"]', "does not appear to be"),
        ("QUARTET_STREAM_NETWORKS", '"10.1.0.0/16"', "must be JSON such as"),
        ("QUARTET_STREAM_CA", "/nowhere.pem", "does not point to a file"),
        ("QUARTET_WITNESSES", "none", "must be JSON such as"),
        ("QUARTET_WITNESSES", json.dumps([{"url": "https://w.example", "vkey": "none"}]), "not a vkey"),
        ("QUARTET_WITNESSES", json.dumps([{"url": "https://w.example", "vkey": LOG_VKEY}]), "of type 0x04 or 0x06"),
        ("QUARTET_WITNESSES", json.dumps([{"vkey": LOG_VKEY}]), "QUARTET_WITNESSES.0.url: missing"),
        ("QUARTET_MASTER_KEY", "short", "the master key must be"),
        ("QUARTET_ACCEPT_LOG_SIZE", "-1", "greater than or equal to 0"),
        ("QUARTET_CHECKPOINT_WEBHOOK", "http://hook.example/", "must be a URL such as https://"),
        ("QUARTET_CHECKPOINT_WEBHOOK", "https://user:secret@hook.example/", "must be a URL such as https://"),
        ("QUARTET_CHECKPOINT_WEBHOOK", "hook.example", "must be a URL such as https://"),
    ],
)
def test_a_wrong_setting_is_named(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, reason: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit):
        load_config(AuditConfig)
    shown = capsys.readouterr().err
    assert name in shown
    assert reason in shown
