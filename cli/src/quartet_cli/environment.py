"""The environment of the service processes: their settings, without other variables of the caller."""

import os
import re
from collections.abc import Mapping

from quartet_cli import instances
from quartet_cli.layout import SERVICES, Home
from quartet_cli.ports import HOST

SETTING = re.compile(r"QUARTET_[A-Z_]+")
SECRETS = re.compile(r".*_(PASSWORD|SECRET|KEY|CLIENTS|TOKEN)")
"""Secrets: each service reads them from its own folder."""
OWN = frozenset({
    # the launcher's own, or decided by it for each process
    "QUARTET_HOME", "QUARTET_PROFILE", "QUARTET_HOST", "QUARTET_PORT", "QUARTET_PRIVATE_HOST", "QUARTET_PRIVATE_PORT",
    "QUARTET_SHARE_PORT",
    "QUARTET_SECRETS_DIR", "QUARTET_DATABASE_URL", "QUARTET_REDIS_URL", "QUARTET_BROKER_URL",
    *(f"QUARTET_{name.upper()}_URL" for name in SERVICES),
    # TLS: its proxy and its checks of health speak plain HTTP, on the loopback address
    "QUARTET_CERTFILE", "QUARTET_KEYFILE", "QUARTET_VERIFY_CLIENT", "QUARTET_CA_CERTS", "QUARTET_TRUST",
    "QUARTET_CLIENT_CERTFILE", "QUARTET_CLIENT_KEYFILE",
})  # fmt: skip


def base() -> dict[str, str]:
    """The variables of every process of the stack."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": os.environ.get("HOME", "/")}


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's settings for the services, without secrets and settings of the launcher."""
    names = (name for name in environment if SETTING.fullmatch(name) and not SECRETS.fullmatch(name))
    return {name: environment[name] for name in names if name not in OWN}


def service(home: Home, ports: dict[str, int], name: str, process: str, number: int = 1) -> dict[str, str]:
    """The variables of the `number`-th `<name>-<process>`; process is api, worker or migrate. Secrets come from files.

    Each process calls one api of each other service: the processes of a service call different ones.
    """
    variables = {
        "HOME": str(home.run),  # another account could not look for files in root's
        "PYTHONUNBUFFERED": "1",
        "QUARTET_SECRETS_DIR": str(home.secrets / name),
        "QUARTET_DATABASE_URL": f"postgresql://quartet_{name}@{HOST}:{ports['postgres']}/quartet",
        "QUARTET_REDIS_URL": f"redis://{HOST}:{ports['redis']}/0",
        "QUARTET_BROKER_URL": f"amqp://quartet@{HOST}:{ports['rabbitmq']}/",
        "QUARTET_PUBLIC_URL": f"http://{HOST}:{ports['proxy']}",
        "QUARTET_TRUSTED_PROXIES": "1",
        "QUARTET_HOST": HOST,
        "QUARTET_PRIVATE_HOST": HOST,
    }
    for other in SERVICES:
        if apis := instances.of(ports, other, "api"):
            port = ports[apis[(number - 1) % len(apis)]]
            variables[f"QUARTET_{other.upper()}_URL"] = f"http://{HOST}:{port}"
    if name == "metrics" and "victoria-metrics" in ports:
        variables["QUARTET_METRICS_ENGINE_URL"] = f"http://{HOST}:{ports['victoria-metrics']}"
    if (name, process) == ("audit", "migrate"):  # as the owner of its tables, which api and worker are not
        variables["QUARTET_SECRETS_DIR"] = str(home.secrets / "audit-owner")
        variables["QUARTET_DATABASE_URL"] = f"postgresql://quartet_audit_owner@{HOST}:{ports['postgres']}/quartet"
    if process == "migrate":
        return base() | variables
    own = instances.of(ports, name, process)[number - 1]
    variables["QUARTET_PRIVATE_PORT"] = str(ports[f"{own}-private"])
    if process == "api":
        variables["QUARTET_PORT"] = str(ports[own])
        variables["QUARTET_SHARE_PORT"] = "true"  # with the spare process of a rolling restart
    if process == "worker":
        variables["MALLOC_TRIM_THRESHOLD_"] = "131072"  # bytes after which glibc returns memory: as in the Dockerfile
    return base() | variables
