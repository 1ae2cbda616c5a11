"""The proxy: a private nginx with the same routes as in containers (deploy/nginx/quartet.conf.template)."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from quartet_cli import confined, instances, proxy_settings, settings
from quartet_cli.accounts import is_root
from quartet_cli.binaries import Binaries
from quartet_cli.errors import QuartetError
from quartet_cli.health import http_answers
from quartet_cli.layout import CHECKOUT, SERVICES, Home
from quartet_cli.ports import HOST, unusable
from quartet_cli.programs import Program
from quartet_cli.proxy_settings import ProxySettings
from quartet_cli.servers.files import write_private


def program(home: Home, binaries: Binaries, ports: dict[str, int]) -> Program:
    """nginx in the foreground; QUIT lets running requests finish."""
    url = f"http://{HOST}:{ports['proxy']}"
    configuration = str(home.run / "nginx.conf")
    return Program(
        name="proxy",
        command=(str(binaries.nginx), "-p", str(home.run), "-e", "/dev/stderr", "-c", configuration),
        directory=home.data / "nginx",
        url=url,
        stop_signal="QUIT",
        check=lambda: http_answers(f"{url}/"),
    )


def prepare(home: Home, ports: dict[str, int], given: Mapping[str, str], user: str = "root") -> None:
    """Write the configuration; requests for a service that this stack does not run get 502.

    `given` are the settings of the stack. Started by root, the workers run as `user`. The master stays root: it opens
    the logs, and ports below 1024. Raises QuartetError for a setting that cannot be used.
    """
    proxy = proxy_settings.read(given)
    _require_usable(proxy, ports["proxy"])
    if is_root() and user != "root":
        _require_visible(proxy, home)
    folder = home.data / "nginx"
    _make_folder(folder)
    write_private(home.run / "nginx.conf", main(home, folder, user))
    text = (CHECKOUT / "deploy/nginx/quartet.conf.template").read_text()
    write_private(home.run / "quartet.conf", filled(text, values(ports, given)))


def _require_usable(proxy: ProxySettings, port: int) -> None:
    """Check that nginx can listen on each address of QUARTET_LISTEN. Raises QuartetError."""
    for address in map(str, proxy.addresses):
        reason = unusable(address, port)
        if reason is not None:
            raise QuartetError(f"{proxy_settings.LISTEN}: port {port} of {address} {reason}.")


def _require_visible(proxy: ProxySettings, home: Home) -> None:
    """Check that no cover of a closed folder (`confined.py`) hides the certificate. Raises QuartetError."""
    for file in proxy.pair or ():
        cover = confined.cover_of(file, home.path)
        if cover is not None:
            raise QuartetError(
                f"{file} is below {cover}, whose files the processes of a stack there do not see. Keep certificates "
                "elsewhere, for example in /etc/quartet."
            )


def _make_folder(folder: Path) -> None:
    """Create the folder of the cache and of temporary files, writable by the owner of the stack only.

    The master creates subfolders in it as root, and gives them to the workers' account. It follows symbolic links: if
    the account could write in the folder, it could become the owner of any file.
    """
    if folder.is_dir() and folder.stat().st_uid != os.getuid():
        shutil.rmtree(folder)  # an earlier version gave it to the account
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)


def values(ports: dict[str, int], given: Mapping[str, str]) -> dict[str, str]:
    """The variables of the template for a native stack: services on loopback, without TLS. Raises QuartetError."""
    proxy = proxy_settings.read(given)
    found = {f"QUARTET_{s.upper()}_SERVERS": upstreams(ports, s) for s in SERVICES}
    found |= {f"QUARTET_{s.upper()}_NAME": f"{s}-api" for s in SERVICES}
    found |= {f"QUARTET_UPSTREAM_{name}": "" for name in ("TRUST", "CERTFILE", "KEYFILE")}
    return found | {
        "QUARTET_PROXY_LISTEN": listen(proxy, ports["proxy"]),
        "QUARTET_PROXY_PEERS": peers(proxy),
        "QUARTET_PROXY_REAL_IP": " ".join(f"set_real_ip_from {network};" for network in proxy.trusted),
        "QUARTET_PROXY_METRICS_LISTEN": f"{HOST}:{ports['proxy-metrics']}",
        "QUARTET_PROXY_CONNECTIONS": str(settings.proxy_connections(given)),
        "QUARTET_UPSTREAM_SCHEME": "http",
        "QUARTET_UPSTREAM_VERIFY": "off",
    }


def upstreams(ports: dict[str, int], service: str) -> str:
    """The apis of a service; port 1 refuses requests for a service that the stack does not run.

    One that refuses a connection gets no requests for a second: that is not asked of one that is alone.
    """
    apis = [ports[name] for name in instances.of(ports, service, "api")] or [1]
    return " ".join(f"server {HOST}:{port} max_fails=1 fail_timeout=1s;" for port in apis)


def listen(proxy: ProxySettings, port: int) -> str:
    """The addresses of the proxy. 127.0.0.1 serves plain HTTP to commands of this machine, also next to 0.0.0.0: nginx
    distinguishes connections by the address that they came to.

    `http2` stands here, since `http2 on` needs nginx 1.25.1; newer ones take both.
    """
    tls = " ssl http2" if proxy.pair else ""
    names = [f"[{address}]" if address.version == 6 else f"{address}" for address in proxy.addresses]
    lines = [f"listen {HOST}:{port};", *(f"listen {name}:{port}{tls};" for name in names)]
    if proxy.pair:
        lines.append(f'ssl_certificate "{proxy.pair[0]}"; ssl_certificate_key "{proxy.pair[1]}";')
    return "\n    ".join(lines)


def peers(proxy: ProxySettings) -> str:
    """Which peers may speak plain HTTP: all, or, behind load balancers, only these and this machine."""
    if not proxy.trusted:
        return "default any;"
    networks = "".join(f" {network} trusted;" for network in proxy.trusted)
    return f"default other; 127.0.0.0/8 local; ::1/128 local;{networks}"


def filled(template: str, values: dict[str, str]) -> str:
    """The template with each ${NAME} of `values` replaced; other variables, as those of nginx, stay."""
    for name, value in values.items():
        template = template.replace(f"${{{name}}}", value)
    return template


def main(home: Home, folder: Path, user: str = "root") -> str:
    """The main configuration file: a private instance that writes below the home only."""
    temporary = "".join(
        f'  {kind}_temp_path "{folder}/{kind}";\n' for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    workers = f"user {user} {user};\n" if is_root() else ""
    return (
        f'daemon off;\n{workers}pid "{home.run}/nginx.pid";\nworker_processes auto;\nworker_rlimit_nofile 8192;\n'
        "events { worker_connections 4096; }\n"
        f"http {{\n  default_type application/octet-stream;\n{temporary}"
        f'  proxy_cache_path "{folder}/cache" keys_zone=quartet_docs:1m max_size=32m use_temp_path=off;\n'
        f'  include "{home.run}/quartet.conf";\n}}\n'
    )
