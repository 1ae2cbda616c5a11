"""The proxy as compose.yaml starts it: proxy.envsh, the template, nginx.conf, here with this machine's nginx."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it says nothing of its types

from quartet_cli import binaries, instances, ports
from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_cli.supervisor import wait_until
from quartet_testing.authority import Authority

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  # nosec B104  # what operators set
ENTRYPOINT = """
. "$1/proxy.envsh"
envsubst "$(env | sed -n 's/^\\(QUARTET_[A-Z_]*\\)=.*/${\\1}/p')" <"$1/quartet.conf.template" >"$1/conf.d/quartet.conf"
sed -i -E 's/listen ([0-9]+)([ ;])/listen 127.0.0.2:\\1\\2/g' "$1/conf.d/quartet.conf"
exec "$2" -p "$1" -e /dev/stderr -c "$1/nginx.conf" -g "daemon off;" $3
"""
"""What the entrypoint of the official image does with the files that compose.yaml mounts; but on loopback only."""
HTTPS = {"QUARTET_PUBLIC_URL": "https://id.example.com"}


class Container:
    """The files of the container in a folder; its port is `port`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, metrics_port = ports.choose(2, set())
        (folder / "conf.d").mkdir()
        for name in ("deploy/compose/proxy.envsh", "deploy/compose/nginx.conf", "deploy/nginx/quartet.conf.template"):
            text = re.sub("/(tmp|etc/nginx)/", f"{folder}/", (CHECKOUT / name).read_text())
            (folder / Path(name).name).write_text(text.replace("8080", str(self.port)))
        self.metrics = {"QUARTET_PROXY_METRICS_LISTEN": str(metrics_port)}

    def command(self, given: dict[str, str], *arguments: str) -> dict[str, Any]:
        """The arguments of `subprocess` that start it with settings."""
        variables: dict[str, str] = nginx_of_compose()["environment"]
        defaults = {name: resolved(value) for name, value in variables.items()}
        nginx = str(binaries.find().nginx)
        command = ["sh", "-ec", ENTRYPOINT, "entrypoint", str(self.folder), nginx, *arguments]
        return {"args": command, "env": {"PATH": os.environ["PATH"], **defaults, **self.metrics, **given}, "text": True}

    def checked(self, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """The result of `nginx -t`. What watches the files ends with it, as with its container."""
        log = self.folder / "log"
        with log.open("w") as output:
            started = subprocess.Popen(
                **self.command(given, "-t"), stdout=output, stderr=output, start_new_session=True
            )
        code = started.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(started.args, code, "", log.read_text())


def nginx_of_compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())["services"]["nginx"]
    return loaded


def resolved(value: str) -> str:
    """A value of compose.yaml with its defaults."""
    while "${" in value:
        start = value.rindex("${")
        end = value.index("}", start)
        value = value[:start] + value[start + 2 : end].partition(":-")[2] + value[end + 1 :]
    return value


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Authority, dict[str, str]]:
    """An authority, and the settings with a certificate for 127.0.0.2."""
    authority = Authority(tmp_path)
    certfile, keyfile = authority.issue("127.0.0.2")
    files = {"QUARTET_PROXY_CERTFILE": str(certfile), "QUARTET_PROXY_KEYFILE": str(keyfile)}
    return authority, {"QUARTET_LISTEN": EVERY_ADDRESS, **files, **HTTPS}


def test_nginx_accepts_the_configuration_of_containers(container: Container, tls: Any) -> None:
    trusted = {"QUARTET_LISTEN": "10.0.0.1", "QUARTET_PROXY_TRUSTED": "10.0.0.0/8,2001:db8::/32", **HTTPS}
    for given in ({}, tls[1], trusted, {**tls[1], **trusted}):
        done = container.checked(given)
        assert done.returncode == 0, done.stderr
        assert f"listen 127.0.0.2:{container.port}" in (container.folder / "conf.d/quartet.conf").read_text()


REFUSED = {
    "no certificate": (
        {"QUARTET_LISTEN": EVERY_ADDRESS, **HTTPS},
        "QUARTET_LISTEN=0.0.0.0 without TLS would send passwords",
    ),
    "IPv6": ({"QUARTET_LISTEN": "[::]", **HTTPS}, "QUARTET_LISTEN=[::] without TLS would send passwords"),
    "only a key": ({"QUARTET_PROXY_KEYFILE": "/k"}, "QUARTET_PROXY_KEYFILE is set without QUARTET_PROXY_CERTFILE."),
    "only a certificate": ({"QUARTET_PROXY_CERTFILE": "/c"}, "QUARTET_PROXY_CERTFILE is set without QUARTET_PROXY_KEY"),
    "no file": ({"QUARTET_PROXY_CERTFILE": "/c", "QUARTET_PROXY_KEYFILE": "/k"}, "/c cannot be read by user"),
    "no https": ({"QUARTET_LISTEN": "10.0.0.1", "QUARTET_PROXY_TRUSTED": "10.0.0.0/8"}, "must be the https URL"),
    "everyone": ({"QUARTET_PROXY_TRUSTED": "0.0.0.0/0", **HTTPS}, "0.0.0.0/0 would believe every client"),
    "a name": ({"QUARTET_PROXY_TRUSTED": "balancer", **HTTPS}, "such as 10.0.0.0/8; got 'balancer'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_natively_is_refused_in_the_container(container: Container, what: str) -> None:
    given, message = REFUSED[what]
    done = container.checked(given)
    assert done.returncode == 1
    assert done.stderr.startswith("quartet: ")
    assert message in done.stderr


def test_an_expired_certificate_is_refused_in_the_container(container: Container, tls: Any) -> None:
    tls[0].issue("127.0.0.2", not_after=datetime.now(UTC) - timedelta(minutes=1))  # replaces the files
    assert "has expired, or is none; renew it" in container.checked(tls[1]).stderr


@pytest.fixture
def running(container: Container, tls: Any) -> Iterator[subprocess.Popen[str]]:
    """The container with TLS; its log is the file `log`."""
    log = container.folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(**container.command(tls[1]), stdout=output, stderr=output, start_new_session=True)
    wait_until((container.folder / "nginx.pid").exists, 20, "nginx does not start")
    yield process
    process.send_signal(signal.SIGQUIT)
    process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def test_the_container_serves_tls_checks_itself_and_reads_a_renewed_certificate(
    container: Container, running: subprocess.Popen[str], tls: Any
) -> None:
    authority, log = tls[0], container.folder / "log"

    def serial() -> str:
        context = authority.client()
        with (
            socket.create_connection(("127.0.0.2", container.port), 10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.2") as connection,
        ):
            return str((connection.getpeercert() or {})["serialNumber"])

    first = serial()
    health_check = nginx_of_compose()["healthcheck"]["test"][-1].replace("8080", str(container.port))
    assert httpx.get(health_check, trust_env=False).status_code == 200
    new = authority.issue("127.0.0.2", file="new")
    shutil.copy(new[0], tls[1]["QUARTET_PROXY_CERTFILE"])
    wait_until(lambda: "key values mismatch" in log.read_text(), 30, "half of a pair is not logged")
    assert serial() == first
    shutil.copy(new[1], tls[1]["QUARTET_PROXY_KEYFILE"])
    wait_until(lambda: serial() != first, 30, "the new certificate is not shown")
    assert running.poll() is None


class Named(BaseHTTPRequestHandler):
    """An api that says at which address it was asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(self.connection.getsockname()[0]).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def apis() -> Iterator[tuple[list[str], int]]:
    """The addresses and the port of two apis of users."""
    [port] = ports.choose(1, set())
    addresses = ["127.0.0.3", "127.0.0.4"]
    servers = [ThreadingHTTPServer((address, port), Named) for address in addresses]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield addresses, port
    for server in servers:
        server.shutdown()
        server.server_close()


def test_apis_that_are_started_and_stopped_get_and_lose_requests(
    container: Container, apis: tuple[list[str], int]
) -> None:
    addresses, port = apis
    names, tools = container.folder / "names", container.folder / "tools"
    tools.mkdir()
    (tools / "getent").write_text(f"#!/bin/sh\n[ $2 = users-api ] && cat {names}\n")
    (tools / "getent").chmod(0o755)

    def name(*wanted: str) -> None:
        names.write_text("".join(f"{one} {kind}\n" for one in wanted for kind in ("STREAM", "DGRAM", "RAW")))

    def asked() -> set[str]:
        url = f"http://127.0.0.2:{container.port}/users/health/live"
        answers = [httpx.get(url, trust_env=False) for _ in range(6)]
        return {answer.text if answer.status_code == 200 else str(answer.status_code) for answer in answers}

    name(addresses[0])
    command = container.command({"QUARTET_USERS_UPSTREAM": f"users-api:{port}"})
    command["env"]["PATH"] = f"{tools}:{command['env']['PATH']}"
    with (container.folder / "log").open("w") as output:
        process = subprocess.Popen(**command, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until((container.folder / "nginx.pid").exists, 20, "nginx does not start")
        wait_until(lambda: asked() == {addresses[0]}, 20, "the one api is not asked")
        name(*addresses)
        wait_until(lambda: asked() == {*addresses}, 20, "the new api is not asked")
        name(addresses[1])
        wait_until(lambda: asked() == {addresses[1]}, 20, "the old api is still asked")
        name()  # as when the names cannot be looked up
        assert asked() == {addresses[1]}
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_an_api_can_be_started_several_times_in_compose() -> None:
    services = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())["services"]
    networks = set()
    for service in SERVICES:
        for process in instances.PROCESSES:
            found = services[f"{service}-{process}"]
            assert not {"container_name", "ports", "hostname"} & found.keys()
            assert process == "worker" or isinstance(found["networks"], list), "no fixed address"
        networks.update(set(services[f"{service}-api"]["networks"]) - {"backend"})
        assert services["nginx"]["environment"][f"QUARTET_{service.upper()}_UPSTREAM"] == f"{service}-api:8000"
    assert len(networks) == len(SERVICES), "an address of one service is never given to another one"
    assert networks < services["nginx"]["networks"].keys()


def test_compose_publishes_the_address_that_is_set_and_knows_every_variable_of_the_template() -> None:
    assert nginx_of_compose()["ports"] == ["${QUARTET_LISTEN:-127.0.0.1}:${QUARTET_PORT:-8080}:8080"]
    overlay = yaml.safe_load((CHECKOUT / "deploy/compose/certificate.yaml").read_text())["services"]["nginx"]
    assert overlay["environment"].keys() <= nginx_of_compose()["environment"].keys()
    assert overlay["volumes"][0].endswith(":/run/proxy-tls:ro")
    assert {f"QUARTET_{service.upper()}_UPSTREAM" for service in SERVICES} <= nginx_of_compose()["environment"].keys()
    assert os.access(CHECKOUT / "deploy/compose/proxy.envsh", os.X_OK), "the entrypoint only sources what is executable"
