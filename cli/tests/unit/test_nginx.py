"""The proxy's configuration."""

import re
import subprocess
from pathlib import Path

import pytest

from quartet_cli import binaries, confined
from quartet_cli.errors import QuartetError
from quartet_cli.layout import CHECKOUT, SERVICES, Home
from quartet_cli.servers import nginx
from quartet_cli.stack import Stack
from quartet_common.core.errors import TITLES, code_of
from quartet_testing.authority import Authority

PORTS = {"proxy": 8080, "proxy-metrics": 8081} | {
    f"{service}-api": 20000 + index for index, service in enumerate(SERVICES)
}


def configuration(folder: Path, given: dict[str, str] | None = None) -> str:
    home = Home(folder)
    home.prepare()
    nginx.prepare(home, PORTS, given or {})
    return (home.run / "quartet.conf").read_text()


def test_every_variable_of_ours_is_filled_and_nginx_keeps_its_own(tmp_path: Path) -> None:
    text = configuration(tmp_path)
    assert "${QUARTET_" not in re.sub(r"(?m)^\s*#.*$", "", text)
    assert "$remote_addr" in text
    assert "listen 127.0.0.1:8080;" in text
    assert "server 127.0.0.1:20000 " in text


def test_the_limit_of_connections_is_a_setting_of_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUARTET_PROXY_CONNECTIONS", raising=False)
    home = Home(tmp_path)
    home.settings_file.write_text("QUARTET_PROXY_CONNECTIONS=32\n")
    text = configuration(tmp_path, dict(Stack(tmp_path).extra_environment))
    assert "limit_conn quartet_addresses 32;" in text
    assert "limit_conn quartet_addresses 256;" in configuration(tmp_path, {"QUARTET_PROXY_CONNECTIONS": ""})


@pytest.mark.parametrize("value", ["0", "-1", "65536", "1.5", "32; include /etc/passwd", "many"])
def test_a_limit_of_connections_that_nginx_does_not_accept_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(QuartetError, match=f"QUARTET_PROXY_CONNECTIONS must be 1-65535, got '{value}'"):
        configuration(tmp_path, {"QUARTET_PROXY_CONNECTIONS": value})


def test_the_template_names_one_upstream_per_service() -> None:
    text = (CHECKOUT / "deploy/nginx/quartet.conf.template").read_text()
    assert set(re.findall(r"\$\{QUARTET_(\w+)_SERVERS\}", text)) == {service.upper() for service in SERVICES}


def test_everything_that_nginx_writes_is_below_the_home(tmp_path: Path) -> None:
    configuration(tmp_path)
    main = (tmp_path / "run/nginx.conf").read_text()
    written = re.findall(r'(?:pid|_temp_path|_cache_path) "([^"]+)"', main)
    assert len(written) == 7
    assert all(path.startswith(str(tmp_path)) for path in written)


def test_the_proxys_own_errors_have_the_titles_and_codes_of_the_services() -> None:
    text = (CHECKOUT / "deploy/nginx/quartet.conf.template").read_text()
    titles = re.findall(
        r'^    (\d{3}) "(.*)";$', text.partition("map $status $quartet_title {")[2].partition("}")[0], re.M
    )
    codes = re.findall(
        r"^    (\d{3}) (\w+);$", text.partition("map $status $quartet_code {")[2].partition("\n}")[0], re.M
    )
    assert {int(status): title for status, title in titles} == {int(one): TITLES[int(one)] for one, _ in titles}
    assert {int(status): code for status, code in codes} == {int(one): code_of(int(one)) for one, _ in titles}
    [answered] = re.findall(r"error_page ((?:\d{3} )+)/\.error/", text)
    assert {*answered.split()} - {"494"} == {status for status, _ in titles}


def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    configuration(tmp_path)
    command = [str(binaries.find().nginx), "-t", "-p", str(tmp_path / "run"), "-c", str(tmp_path / "run/nginx.conf")]
    checked = subprocess.run([*command, "-e", "/dev/stderr"], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_a_certificate_that_the_processes_of_the_stack_do_not_see_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "certificates").mkdir()
    certfile, keyfile = Authority(closed / "certificates").issue("id.example.com")
    monkeypatch.setattr(nginx, "is_root", lambda: True)
    monkeypatch.setattr(confined, "closed_above", lambda folder: closed if closed in folder.parents else None)
    home = Home(closed / "home")
    home.prepare()
    files = {"QUARTET_PROXY_CERTFILE": str(certfile), "QUARTET_PROXY_KEYFILE": str(keyfile)}
    given = {"QUARTET_LISTEN": "127.0.0.2", "QUARTET_PUBLIC_URL": "https://id.example.com", **files}
    with pytest.raises(QuartetError, match=f"{certfile} is below {closed}, whose files"):
        nginx.prepare(home, PORTS, given, "quartet")
    nginx.prepare(home, PORTS, given, "root")
