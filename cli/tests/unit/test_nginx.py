"""The proxy's configuration."""

import re
from pathlib import Path

from quartet_cli.layout import CHECKOUT, SERVICES, Home
from quartet_cli.servers import nginx

PORTS = {"proxy": 8080} | {f"{service}-api": 20000 + index for index, service in enumerate(SERVICES)}


def configuration(folder: Path) -> str:
    home = Home(folder)
    home.prepare()
    nginx.prepare(home, PORTS)
    return (home.run / "quartet.conf").read_text()


def test_every_variable_of_ours_is_filled_and_nginx_keeps_its_own(tmp_path: Path) -> None:
    text = configuration(tmp_path)
    assert "${QUARTET_" not in re.sub(r"(?m)^\s*#.*$", "", text)
    assert "$remote_addr" in text
    assert "listen 127.0.0.1:8080;" in text
    assert "server 127.0.0.1:20000 " in text


def test_the_template_names_one_upstream_per_service() -> None:
    text = (CHECKOUT / "deploy/nginx/quartet.conf.template").read_text()
    assert set(re.findall(r"\$\{QUARTET_(\w+)_UPSTREAM\}", text)) == {service.upper() for service in SERVICES}


def test_everything_that_nginx_writes_is_below_the_home(tmp_path: Path) -> None:
    configuration(tmp_path)
    main = (tmp_path / "run/nginx.conf").read_text()
    written = re.findall(r'(?:pid|_temp_path) "([^"]+)"', main)
    assert len(written) == 6
    assert all(path.startswith(str(tmp_path)) for path in written)
