"""The proxy that is reachable from outside: the real nginx and the real watcher of its certificate."""

import http.client
import http.server
import json
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from quartet_cli import binaries, catalogue, certificate_watcher, leftovers, ports, proxy_settings
from quartet_cli.bringup import start_and_wait
from quartet_cli.errors import QuartetError
from quartet_cli.layout import SERVICES, Home
from quartet_cli.servers import nginx
from quartet_cli.supervisor import Supervisor, wait_until
from quartet_testing.authority import Authority

OUTSIDE, OTHER = "127.0.0.2", "127.0.0.3"
"""Addresses of this machine that stand for one that others reach, and for another client."""


class Upstream(http.server.BaseHTTPRequestHandler):
    """Stands in for the services: returns the headers that the proxy sent; `/users/slow` waits for `released`."""

    released = threading.Event()
    waiting = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/users/slow":
            self.waiting.set()
            self.released.wait(60)
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs, and what it was started with."""

    supervisor: Supervisor
    authority: Authority
    port: int
    pair: tuple[Path, Path]

    def log(self, name: str) -> str:
        """The log of a process so far."""
        return (self.supervisor.home.logs / f"{name}.log").read_text()

    def client(self, address: str = OUTSIDE, *, scheme: str = "https", source: str | None = None) -> httpx.Client:
        """A client that verifies the proxy's certificate."""
        transport = httpx.HTTPTransport(verify=self.authority.client(), http2=True, local_address=source)
        return httpx.Client(base_url=f"{scheme}://{address}:{self.port}", transport=transport, trust_env=False)

    def serial(self) -> int:
        """The serial number of the certificate that a new connection is shown."""
        context = self.authority.client()
        with (
            socket.create_connection((OUTSIDE, self.port), 10) as plain,
            context.wrap_socket(plain, server_hostname=OUTSIDE) as tls,
        ):
            shown: dict[str, Any] = tls.getpeercert() or {}
            return int(shown["serialNumber"], 16)


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """The port of the stand-in for the services."""
    with http.server.ThreadingHTTPServer((ports.HOST, 0), Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def started(tmp_path: Path, upstream: int) -> Iterator[Any]:
    """Starts a proxy with settings, as `./quartet up` does: `started({...})`."""
    (tmp_path / "certificates").mkdir()
    authority = Authority(tmp_path / "certificates")
    running: list[Supervisor] = []

    def start(given: dict[str, str]) -> Proxy:
        port, metrics_port = ports.choose(2, {upstream})
        numbers = {"proxy": port, "proxy-metrics": metrics_port} | {f"{service}-api": upstream for service in SERVICES}
        pair = authority.issue(OUTSIDE)
        files = {proxy_settings.CERTFILE: str(pair[0]), proxy_settings.KEYFILE: str(pair[1])}
        settings = {"QUARTET_PUBLIC_URL": "https://id.example.com"} | (files if "with_tls" in given else {}) | given
        home = Home(tmp_path / "home")
        home.prepare()
        nginx.prepare(home, numbers, settings)
        programs = [nginx.program(home, binaries.find(), numbers), *catalogue.certificate_watcher(home, settings)]
        supervisor = Supervisor(home)
        supervisor.start(programs)
        running.append(supervisor)
        start_and_wait(supervisor, programs, 30)
        return Proxy(supervisor, authority, port, pair)

    yield start
    for supervisor in running:
        supervisor.shutdown()
        leftovers.end(leftovers.find(supervisor.home, supervisor.home.data), patience=1)


@pytest.fixture
def proxy(started: Any) -> Proxy:
    """A proxy with TLS at OUTSIDE."""
    made: Proxy = started({"QUARTET_LISTEN": OUTSIDE, "with_tls": ""})
    return made


def test_clients_get_tls_with_http_2_and_the_service_sees_https(proxy: Proxy) -> None:
    with proxy.client() as client:
        answer = client.get("/users/x")
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.json()["x-forwarded-proto"] == "https"


def test_every_answer_of_the_proxy_itself_has_the_header_of_hsts_over_tls(proxy: Proxy) -> None:
    with proxy.client() as client:
        for path, status in (("/", 200), ("/nowhere", 404), ("/scim/v2/Users?access_token=x", 400)):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["strict-transport-security"]) == (status, "max-age=31536000")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_current_versions_of_tls_are_served(proxy: Proxy, version: ssl.TLSVersion) -> None:
    assert handshake(proxy, version) == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_older_version_of_tls_or_a_weak_cipher_is_refused(proxy: Proxy) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)alert|version"):
        handshake(proxy, ssl.TLSVersion.TLSv1_1)
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake"):
        handshake(proxy, ssl.TLSVersion.TLSv1_2, "AES128-SHA:AES256-GCM-SHA384")


def handshake(proxy: Proxy, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> str | None:
    """The version of a connection of a client that offers only this one."""
    context = proxy.authority.client()
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((OUTSIDE, proxy.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=OUTSIDE) as tls,
    ):
        return tls.version()


def test_commands_of_this_machine_have_plain_http_at_the_same_port(proxy: Proxy) -> None:
    with proxy.client(ports.HOST, scheme="http") as client:
        answer = client.get("/users/x")
    assert answer.json()["x-forwarded-proto"] == "http"
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(("path", "kind"), [("/users/x", "problem"), ("/scim/v2/Users", "scim")])
def test_plain_http_where_tls_is_expected_is_an_error_that_says_so(proxy: Proxy, path: str, kind: str) -> None:
    with proxy.client(scheme="http") as client:
        answer = client.get(path, headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, f"application/{kind}+json")
    assert answer.json()["detail"] == "Plain HTTP would show passwords and tokens to the network. Use https."


def test_a_renewed_certificate_is_shown_to_new_connections_and_open_requests_go_on(proxy: Proxy) -> None:
    first = proxy.serial()
    Upstream.released.clear()
    Upstream.waiting.clear()
    connection = http.client.HTTPSConnection(OUTSIDE, proxy.port, timeout=60, context=proxy.authority.client())
    connection.request("GET", "/users/slow")
    assert Upstream.waiting.wait(20)
    proxy.authority.issue(OUTSIDE)  # replaces the files
    wait_until(lambda: proxy.serial() != first, 30, "the new certificate is not shown")
    Upstream.released.set()
    assert connection.getresponse().status == 200
    connection.close()
    assert "the certificate was read again; it is valid until " in proxy.log(catalogue.CERTIFICATES)


def test_half_of_a_pair_is_logged_and_the_old_certificate_is_kept_until_the_other_half_comes(proxy: Proxy) -> None:
    first = proxy.serial()
    new = proxy.authority.issue(OUTSIDE, file="new")
    shutil.copy(new[0], proxy.pair[0])
    kept = "a renewed certificate cannot be used, the proxy keeps the old one"
    reason = f"{kept}: {proxy.pair[1]} is the key of another certificate than that in {proxy.pair[0]}"
    wait_until(lambda: reason in proxy.log(catalogue.CERTIFICATES), 30, "half of a pair is not logged")
    assert proxy.serial() == first
    shutil.copy(new[1], proxy.pair[1])
    wait_until(lambda: proxy.serial() != first, 30, "the complete pair is not shown")


def test_a_load_balancer_that_is_trusted_says_the_address_and_the_scheme_of_the_client(started: Any) -> None:
    proxy: Proxy = started({"QUARTET_LISTEN": OUTSIDE, "QUARTET_PROXY_TRUSTED": f"{OTHER}/32"})
    forwarded = {"X-Forwarded-For": f"10.1.1.1, 192.0.2.7, {OTHER}", "X-Forwarded-Proto": "https"}
    with proxy.client(scheme="http", source=OTHER) as balancer:
        answer = balancer.get("/users/x", headers=forwarded)
        seen = answer.json()
        assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("192.0.2.7", "https")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        refused = balancer.get("/users/x", headers=forwarded | {"X-Forwarded-Proto": "https, http"})
        assert (refused.status_code, "Use https" in refused.text) == (400, True)
    assert '"remote_address":"192.0.2.7"' in proxy.log("proxy"), "limits count this address"


def test_limits_count_the_addresses_that_a_trusted_load_balancer_says(started: Any) -> None:
    limit = {"QUARTET_LISTEN": OUTSIDE, "QUARTET_PROXY_TRUSTED": f"{OTHER}/32", "QUARTET_PROXY_CONNECTIONS": "1"}
    proxy: Proxy = started(limit)
    Upstream.released.clear()
    Upstream.waiting.clear()
    slow = http.client.HTTPConnection(OUTSIDE, proxy.port, timeout=60, source_address=(OTHER, 0))
    slow.request("GET", "/users/slow", headers={"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"})
    assert Upstream.waiting.wait(20)
    with proxy.client(scheme="http", source=OTHER) as balancer:
        for address, status in (("192.0.2.7", 429), ("192.0.2.8", 200)):
            answer = balancer.get("/users/x", headers={"X-Forwarded-For": address, "X-Forwarded-Proto": "https"})
            assert answer.status_code == status, address
    Upstream.released.set()
    assert slow.getresponse().status == 200
    slow.close()


def test_others_are_not_believed_about_addresses(started: Any) -> None:
    proxy: Proxy = started({"QUARTET_LISTEN": OUTSIDE, "QUARTET_PROXY_TRUSTED": "203.0.113.0/24"})
    with proxy.client(scheme="http", source=OTHER) as client:
        seen = client.get("/users/x", headers={"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}).json()
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == (OTHER, "http")


def test_plain_http_past_the_load_balancer_is_refused(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = nginx.peers  # with only one address of this machine, OTHER is outside
    monkeypatch.setattr(
        nginx, "peers", lambda read: peers(read).replace("127.0.0.0/8", "127.0.0.1")
    )  # OTHER is outside
    proxy: Proxy = started({"QUARTET_LISTEN": f"{OUTSIDE},::1", "QUARTET_PROXY_TRUSTED": "203.0.113.0/24"})
    with proxy.client(scheme="http", source=OTHER) as client:
        answer = client.get("/users/x", headers={"X-Forwarded-Proto": "https"})
    assert (answer.status_code, "Use https" in answer.text) == (400, True)
    with proxy.client("[::1]", scheme="http") as client:
        assert client.get("/users/x").status_code == 200, "this machine has plain HTTP"


def test_an_address_of_another_machine_is_named(started: Any) -> None:
    with pytest.raises(
        QuartetError, match=r"QUARTET_LISTEN: port \d+ of 192\.0\.2\.9 cannot be used: 192\.0\.2\.9 is not"
    ):
        started({"QUARTET_LISTEN": "192.0.2.9", "with_tls": ""})


# ---- the watcher ----------------------------------------------------------------------------------------------------


def test_a_certificate_that_expires_soon_is_logged(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for days, is_logged in ((13, True), (15, False)):
        end = now + timedelta(days=days)
        warning = certificate_watcher.expiry_warning(Authority(tmp_path).issue(OUTSIDE, not_after=end), now)
        assert warning == (f"the certificate expires at {end:%Y-%m-%d %H:%M} UTC; renew it" if is_logged else None)
