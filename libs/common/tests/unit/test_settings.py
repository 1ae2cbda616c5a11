"""Configuration: where settings come from, and that everything wrong is said at once."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
import trustme
from pydantic import ValidationError

from quartet_common.config.settings import MAX_JOURNAL_HOURS, ServiceConfig, load_config, read_config
from quartet_common.messaging import inbox

SECRETS = {
    "quartet_database_password": "database-secret",
    "quartet_redis_password": "redis-secret",
    "quartet_broker_password": "broker-secret",
    "quartet_client_secret": "client-secret",
}
VARIABLES = {
    "QUARTET_DATABASE_URL": "postgresql://quartet_probe@127.0.0.1/quartet",
    "QUARTET_REDIS_URL": "redis://127.0.0.1/0",
    "QUARTET_BROKER_URL": "amqp://quartet@127.0.0.1/",
    "QUARTET_USERS_URL": "http://127.0.0.1:8000",
}


class ProbeConfig(ServiceConfig):
    service: ClassVar[str] = "probe"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A complete environment: variables, and secrets as files. What is put into it is there while the test runs."""
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(f"{value}\n")
    with patch.dict("os.environ", {**VARIABLES, "QUARTET_SECRETS_DIR": str(tmp_path)}, clear=True) as variables:
        yield variables


def complaints(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as end:
        load_config(ProbeConfig)
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert "probe" in lines[0]
    return [line.strip() for line in lines[1:]]


def test_secrets_are_read_from_files_without_their_line_end(environment: dict[str, str]) -> None:
    config = read_config(ProbeConfig)
    assert config.database_password.get_secret_value() == "database-secret"
    assert config.client_secret.get_secret_value() == "client-secret"


def test_the_environment_wins_over_a_file(environment: dict[str, str]) -> None:
    environment["QUARTET_CLIENT_SECRET"] = "from-the-environment"
    assert read_config(ProbeConfig).client_secret.get_secret_value() == "from-the-environment"


def test_a_secret_is_not_shown_by_the_config(environment: dict[str, str]) -> None:
    config = read_config(ProbeConfig)
    for secret in SECRETS.values():
        assert secret not in f"{config!r} {config}"


@pytest.mark.parametrize("name", [*VARIABLES, *(name.upper() for name in SECRETS)])
def test_what_has_no_default_and_is_missing_is_named(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], name: str, tmp_path: Path
) -> None:
    environment.pop(name, None)
    (tmp_path / name.lower()).unlink(missing_ok=True)
    [line] = complaints(capsys)
    assert line.startswith(f"{name}: missing")


def test_an_empty_variable_is_a_missing_one(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environment["QUARTET_USERS_URL"] = ""
    environment["QUARTET_CLIENT_SECRET"] = ""
    environment["QUARTET_CERTFILE"] = ""
    (tmp_path / "quartet_client_secret").unlink()
    assert [line.split(":")[0] for line in complaints(capsys)] == ["QUARTET_USERS_URL", "QUARTET_CLIENT_SECRET"]


def test_an_empty_secret_file_is_a_missing_secret(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "quartet_client_secret").write_text("\n")
    [line] = complaints(capsys)
    assert line.startswith("QUARTET_CLIENT_SECRET: ")


def test_everything_wrong_is_reported_at_once_with_its_value(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    del environment["QUARTET_REDIS_URL"]
    environment["QUARTET_PORT"] = "70000"
    environment["QUARTET_PROTOCOL"] = "h3"
    environment["QUARTET_LOG_LEVEL"] = "loud"
    environment["QUARTET_TRACE_SAMPLE_RATIO"] = "1.5"
    environment["QUARTET_CORS_ORIGINS"] = "https://app.example.com"
    environment["QUARTET_MAX_BODY_BYTES"] = "much"
    lines = complaints(capsys)
    assert sorted(lines) == [
        "QUARTET_CORS_ORIGINS: must be JSON such as [\"https://app.example.com\"], got 'https://app.example.com'",
        "QUARTET_LOG_LEVEL: must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', got 'loud'",
        "QUARTET_MAX_BODY_BYTES: must be a valid integer, got 'much'",
        "QUARTET_PORT: must be less than or equal to 65535, got '70000'",
        "QUARTET_PROTOCOL: must be 'http/1.1' or 'h2', got 'h3'",
        "QUARTET_REDIS_URL: missing. Set it, or put the file quartet_redis_url into QUARTET_SECRETS_DIR",
        "QUARTET_TRACE_SAMPLE_RATIO: must be less than or equal to 1, got '1.5'",
    ]


def test_a_value_that_may_hold_a_secret_is_not_shown(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    environment["QUARTET_PUBLIC_URL"] = "https://admin:t1meMa@heen.example.com/"
    environment["QUARTET_CORS_ORIGINS"] = json.dumps([7])
    lines = complaints(capsys)
    assert [line.split(":")[0] for line in lines] == ["QUARTET_PUBLIC_URL", "QUARTET_CORS_ORIGINS.0"]
    assert "t1meMa" not in lines[0]


def test_origins_are_a_json_list(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    environment["QUARTET_CORS_ORIGINS"] = json.dumps(["https://app.example.com"])
    assert read_config(ProbeConfig).cors_origins == ["https://app.example.com"]
    environment["QUARTET_CORS_ORIGINS"] = json.dumps({"https://app.example.com": True})
    [line] = complaints(capsys)
    assert line.startswith("QUARTET_CORS_ORIGINS: ")


def test_tls_needs_both_files_and_they_must_exist(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environment["QUARTET_CERTFILE"] = str(tmp_path / "cert.pem")
    [line] = complaints(capsys)
    assert "QUARTET_KEYFILE" in line
    environment["QUARTET_KEYFILE"] = str(tmp_path / "key.pem")
    assert complaints(capsys)[0] == f"QUARTET_CERTFILE: no such file: {tmp_path / 'cert.pem'}"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_bytes((tmp_path / "both.pem").read_bytes())
    assert read_config(ProbeConfig).keyfile == tmp_path / "key.pem"


def test_a_pool_cannot_be_smaller_than_its_least_size(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    environment["QUARTET_DATABASE_POOL_MIN"] = "11"
    [line] = complaints(capsys)
    assert "QUARTET_DATABASE_POOL_MIN" in line


def test_the_issuer_is_the_public_url_without_a_slash_at_the_end(environment: dict[str, str]) -> None:
    environment["QUARTET_PUBLIC_URL"] = "https://id.example.com/"
    config = read_config(ProbeConfig)
    assert config.issuer == "https://id.example.com"
    assert config.client_id == "quartet-probe"


@pytest.mark.parametrize("wrong", ["https://example.com/id", "id.example.com", "https://example.com?a=b", "https://"])
def test_a_public_url_is_an_origin_since_all_services_stand_at_its_root(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    environment["QUARTET_PUBLIC_URL"] = wrong
    [line] = complaints(capsys)
    assert line.startswith("QUARTET_PUBLIC_URL: ")


def test_variables_of_others_are_not_minded(environment: dict[str, str]) -> None:
    environment["QUARTET_SOMETHING_ELSE"] = "x"
    assert read_config(ProbeConfig).port == 8000


@pytest.mark.parametrize("origin", ["null", "https://App.example.com", "https://a.example.com/", "a.example.com", ""])
def test_what_no_browser_sends_as_an_origin_ends_the_start(settings: dict[str, Any], origin: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        ServiceConfig(**settings, cors_origins=[origin])
    for good in ("https://a.example.com", "http://localhost:3000", "https://[::1]:8443", "*"):
        assert ServiceConfig(**settings, cors_origins=[good]).cors_origins == [good]


def test_the_journal_is_shorter_than_the_inbox_knows_what_has_arrived(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert timedelta(hours=MAX_JOURNAL_HOURS) <= inbox.RETENTION - timedelta(days=2)
    environment["QUARTET_JOURNAL_HOURS"] = "672"
    assert read_config(ProbeConfig).journal_hours == MAX_JOURNAL_HOURS
    for wrong in ("672.5", "inf"):
        environment["QUARTET_JOURNAL_HOURS"] = wrong
        (line,) = complaints(capsys)
        assert line.startswith("QUARTET_JOURNAL_HOURS: must be at most 672 (28 days): consumers know for 30 days")
        assert line.endswith(f"got {wrong!r}")


def test_urls_of_servers_are_checked_at_the_start(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    environment["QUARTET_DATABASE_URL"] = "postgresql://quartet_probe@db1,db2/quartet"
    environment["QUARTET_REDIS_URL"] = "redis://cache1,cache2/0"
    environment["QUARTET_BROKER_URL"] = "amqp://quartet:t1meMa@mq1:5672,mq2:many/"
    lines = complaints(capsys)
    assert [line.split(":")[0] for line in lines] == [f"QUARTET_{name}_URL" for name in ("DATABASE", "REDIS", "BROKER")]
    assert "end it with ?target_session_attrs=read-write" in lines[0]
    assert lines[1].endswith("redis+sentinel://HOST:26379,HOST:26379/NAME, got 'redis://cache1,cache2/0'")
    assert lines[2] == "QUARTET_BROKER_URL: the port of mq2 must be a number from 1 to 65535, not 'many'"
