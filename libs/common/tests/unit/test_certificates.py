"""TLS in the configuration: what is wrong with files and settings is said by name before anything is served."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives import serialization

from quartet_common.config.settings import ServiceConfig, load_config
from quartet_testing.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def environment(settings: dict[str, Any]) -> Iterator[dict[str, str]]:
    """A complete environment; what is put into it is there while the test runs."""
    complete = {f"QUARTET_{name.upper()}": value for name, value in settings.items()}
    with patch.dict("os.environ", complete, clear=True) as variables:
        yield variables


def complaints(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as end:
        load_config(ServiceConfig)
    assert end.value.code == 2
    return [line.strip() for line in capsys.readouterr().err.splitlines()[1:]]


def test_what_is_right_is_taken_and_a_service_shows_others_what_it_serves_with(
    environment: dict[str, str], authority: Authority
) -> None:
    certfile, keyfile = authority.issue("127.0.0.1")
    environment |= {"QUARTET_CERTFILE": str(certfile), "QUARTET_KEYFILE": str(keyfile)}
    environment |= {"QUARTET_CA_CERTS": str(authority.bundle), "QUARTET_VERIFY_CLIENT": "required"}
    config = load_config(ServiceConfig)
    assert config.server_pair == config.client_pair == (certfile, keyfile)
    other = authority.issue("groups", file="client")
    environment |= {"QUARTET_CLIENT_CERTFILE": str(other[0]), "QUARTET_CLIENT_KEYFILE": str(other[1])}
    assert load_config(ServiceConfig).client_pair == other
    assert load_config(ServiceConfig).server_pair == (certfile, keyfile)


def test_every_file_that_is_missing_is_named(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = ("CERTFILE", "KEYFILE", "CLIENT_CERTFILE", "CLIENT_KEYFILE", "CA_CERTS", "TRUST")
    environment |= {f"QUARTET_{name}": str(tmp_path / "nothing.pem") for name in names}
    environment["QUARTET_VERIFY_CLIENT"] = "required"
    assert complaints(capsys) == [f"QUARTET_{name}: no such file: {tmp_path / 'nothing.pem'}" for name in names]


@pytest.mark.parametrize("kind", ["", "CLIENT_"])
def test_a_key_of_another_certificate_is_refused(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], authority: Authority, kind: str
) -> None:
    certfile, _ = authority.issue("127.0.0.1")
    _, keyfile = authority.issue("127.0.0.1", file="other")
    environment |= {f"QUARTET_{kind}CERTFILE": str(certfile), f"QUARTET_{kind}KEYFILE": str(keyfile)}
    [line] = complaints(capsys)
    assert line == f"QUARTET_{kind}KEYFILE: the key in {keyfile} does not belong to the certificate in {certfile}"


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_passphrase(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    certfile, keyfile = authority.issue("127.0.0.1")
    key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
    form = serialization.PrivateFormat.PKCS8
    cover = serialization.BestAvailableEncryption(b"secret")
    keyfile.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, cover))
    environment |= {"QUARTET_CERTFILE": str(certfile), "QUARTET_KEYFILE": str(keyfile)}
    [line] = complaints(capsys)
    assert line.startswith(f"QUARTET_KEYFILE: the key in {keyfile} is encrypted")


def test_what_is_no_certificate_is_refused(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    names = ("CERTFILE", "KEYFILE", "CA_CERTS", "TRUST")
    environment |= {f"QUARTET_{name}": str(nonsense) for name in names} | {"QUARTET_VERIFY_CLIENT": "optional"}
    assert [line.partition(":")[0] for line in complaints(capsys)] == [
        "QUARTET_CERTFILE, QUARTET_KEYFILE",
        "QUARTET_CA_CERTS",
        "QUARTET_TRUST",
    ]


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_clients_cannot_be_verified_without_an_authority_or_without_tls(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], authority: Authority, mode: str
) -> None:
    environment["QUARTET_VERIFY_CLIENT"] = mode
    assert ["QUARTET_CA_CERTS" in line or "QUARTET_CERTFILE" in line for line in complaints(capsys)] == [True, True]
    environment["QUARTET_CA_CERTS"] = str(authority.bundle)
    assert len(complaints(capsys)) == 1
    certfile, keyfile = authority.issue("127.0.0.1")
    environment |= {"QUARTET_CERTFILE": str(certfile), "QUARTET_KEYFILE": str(keyfile)}
    assert load_config(ServiceConfig).verify_client == mode


def test_an_authority_of_clients_that_nobody_asks_for_is_a_mistake(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    environment["QUARTET_CA_CERTS"] = str(authority.bundle)
    [line] = complaints(capsys)
    assert line.startswith("QUARTET_CA_CERTS: ")
    environment["QUARTET_VERIFY_CLIENT"] = "yes"
    [line] = complaints(capsys)
    assert line.startswith("QUARTET_VERIFY_CLIENT: ")
