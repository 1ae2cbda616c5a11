"""The settings of the proxy: what is refused, with which message."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quartet_cli import proxy_settings
from quartet_cli.errors import QuartetError
from quartet_testing.authority import Authority

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  # nosec B104  # what operators set
HTTPS = {"QUARTET_PUBLIC_URL": "https://id.example.com"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(pair: tuple[Path, Path]) -> dict[str, str]:
    return {"QUARTET_PROXY_CERTFILE": str(pair[0]), "QUARTET_PROXY_KEYFILE": str(pair[1])}


def refusal(given: dict[str, str]) -> str:
    with pytest.raises(QuartetError) as caught:
        proxy_settings.read(given)
    return str(caught.value)


def test_without_settings_only_this_machine_reaches_the_proxy() -> None:
    for given in ({}, {"QUARTET_LISTEN": ""}, {"QUARTET_LISTEN": "127.0.0.1"}):
        assert proxy_settings.read(given) == proxy_settings.ProxySettings()


def test_several_addresses_of_both_versions_are_read_each_once(authority: Authority) -> None:
    given = {"QUARTET_LISTEN": "0.0.0.0, [::],127.0.0.1,0.0.0.0", **files(authority.issue("id.example.com")), **HTTPS}
    assert [str(address) for address in proxy_settings.read(given).addresses] == [EVERY_ADDRESS, "::"]


@pytest.mark.parametrize("address", [EVERY_ADDRESS, "::", "192.0.2.1", "127.0.0.1,10.0.0.1", "2001:db8::1"])
def test_an_address_that_others_reach_needs_a_certificate(address: str) -> None:
    text = refusal({"QUARTET_LISTEN": address, **HTTPS})
    assert text.startswith(f"QUARTET_LISTEN={address.removeprefix('127.0.0.1,')} without TLS would send passwords")
    assert "QUARTET_PROXY_CERTFILE and QUARTET_PROXY_KEYFILE, or QUARTET_PROXY_TRUSTED if a load balancer" in text


def test_loopback_addresses_need_none() -> None:
    found = proxy_settings.read({"QUARTET_LISTEN": "127.0.0.2,::1"})
    assert [str(address) for address in found.addresses] == ["127.0.0.2", "::1"]


@pytest.mark.parametrize("value", ["localhost", "0.0.0.0:443", "10.0.0.0/8", "fe80::1%eth0", "1.2.3"])
def test_what_is_no_address_is_named(value: str) -> None:
    assert refusal({"QUARTET_LISTEN": value}).endswith(f"got {value!r}")


@pytest.mark.parametrize("url", ["", "http://id.example.com", "https://", "id.example.com", "https://[x"])
def test_clients_from_outside_need_an_https_url(authority: Authority, url: str) -> None:
    tls = {"QUARTET_LISTEN": EVERY_ADDRESS, **files(authority.issue("id.example.com"))}
    for given in (tls, {"QUARTET_LISTEN": "10.0.0.1", "QUARTET_PROXY_TRUSTED": "10.0.0.0/8"}):
        text = refusal({**given, "QUARTET_PUBLIC_URL": url})
        assert text.startswith("QUARTET_PUBLIC_URL must be the https URL that clients use")
        assert text.endswith(f"got {url!r}")


@pytest.mark.parametrize("missing", ["QUARTET_PROXY_CERTFILE", "QUARTET_PROXY_KEYFILE"])
def test_only_one_of_the_two_files_is_refused(authority: Authority, missing: str) -> None:
    given = files(authority.issue("id.example.com")) | {missing: ""}
    text = refusal({"QUARTET_LISTEN": EVERY_ADDRESS, **given, **HTTPS})
    assert text.endswith(f" is set without {missing}. Set both.")


def test_a_certificate_that_no_address_uses_is_refused(authority: Authority) -> None:
    text = refusal({**files(authority.issue("id.example.com")), **HTTPS})
    assert text.startswith("QUARTET_PROXY_CERTFILE has no effect: 127.0.0.1 serves plain HTTP")


@pytest.mark.parametrize("path", ["tls.crt", "/etc/$x/tls.crt", '/etc/"/tls.crt', "/etc/tls\\.crt", "/etc/a\nb"])
def test_a_path_that_nginx_would_read_differently_is_refused(authority: Authority, path: str) -> None:
    given = files(authority.issue("id.example.com")) | {"QUARTET_PROXY_CERTFILE": path}
    text = refusal({"QUARTET_LISTEN": EVERY_ADDRESS, **given, **HTTPS})
    assert text == f"QUARTET_PROXY_CERTFILE must be an absolute path without quotes, $ and \\, got {path!r}"


def spoilt(authority: Authority, how: str) -> tuple[tuple[Path, Path], str]:
    """A pair that cannot be used, and why."""
    now = datetime.now(UTC)
    end = now - timedelta(days=1) if how == "expired" else now + timedelta(days=30)
    certfile, keyfile = pair = authority.issue("id.example.com", not_after=end)
    if how == "expired":
        return pair, f"the certificate in {certfile} expired at {end:%Y-%m-%d %H:%M} UTC; renew it"
    if how == "of another":
        keyfile.write_bytes(authority.issue("id.example.com", file="other")[1].read_bytes())
        return pair, f"{keyfile} is the key of another certificate than that in {certfile}"
    if how == "encrypted":
        command = ["openssl", "pkcs8", "-topk8", "-in", str(keyfile), "-out", f"{keyfile}.new", "-passout", "pass:x"]
        subprocess.run(command, check=True, capture_output=True)
        return (
            certfile,
            Path(f"{keyfile}.new"),
        ), f"{keyfile}.new is encrypted; the proxy needs a key without a passphra"
    if how == "no key":
        keyfile.write_text("x")
        return pair, f"{keyfile} has no key in PEM that the proxy can use"
    if how == "no certificate":
        certfile.write_text("x")
        return pair, f"{certfile} has no certificate in PEM"
    keyfile.unlink()
    if how == "a folder":
        keyfile.mkdir()
    reason = "Is a directory" if how == "a folder" else "No such file or directory"
    return pair, f"{keyfile} cannot be read: {reason}"


KINDS = ["expired", "of another", "encrypted", "no key", "no certificate", "a folder", "missing"]


@pytest.mark.parametrize("how", KINDS)
def test_a_pair_that_cannot_be_used_is_refused_with_the_file_and_the_reason(authority: Authority, how: str) -> None:
    pair, reason = spoilt(authority, how)
    text = refusal({"QUARTET_LISTEN": EVERY_ADDRESS, **files(pair), **HTTPS})
    assert text.startswith(f"QUARTET_PROXY_CERTFILE and QUARTET_PROXY_KEYFILE cannot be used: {reason}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("load-balancer", "'load-balancer' does not appear to be"),
        ("0.0.0.0/0", "would believe every client"),
        ("10.0.0.0/8,::/0", "would believe every client"),
    ],
)
def test_networks_that_nobody_can_mean_are_refused(value: str, text: str) -> None:
    assert text in refusal({"QUARTET_PROXY_TRUSTED": value, **HTTPS})


def test_a_load_balancer_that_is_trusted_takes_the_place_of_a_certificate() -> None:
    trusted = {"QUARTET_PROXY_TRUSTED": "10.0.0.0/8, 2001:db8::/32,192.0.2.1"}
    found = proxy_settings.read({"QUARTET_LISTEN": "10.0.0.1", **trusted, **HTTPS})
    assert [str(network) for network in found.trusted] == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"]
