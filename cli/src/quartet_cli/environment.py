"""The environment of the service processes: what each is told, and nothing of the caller's that it needs not know."""

import os
from collections.abc import Mapping

from quartet_cli.layout import SERVICES, Home
from quartet_cli.ports import HOST

HANDED_ON = ("QUARTET_LOG_", "QUARTET_OTLP_", "QUARTET_TRACE_", "QUARTET_CORS_", "QUARTET_LIMIT_", "QUARTET_PASSWORD_")


def base() -> dict[str, str]:
    """What every process of the stack gets."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": os.environ.get("HOME", "/")}


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's own settings that reach the services: logs, traces, CORS and limits."""
    return {name: value for name, value in environment.items() if name.startswith(HANDED_ON)}


def service(home: Home, ports: dict[str, int], name: str, process: str) -> dict[str, str]:
    """The variables of `<name>-<process>`; process is api, worker or migrate. Secrets come from files."""
    variables = {
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
        if f"{other}-api" in ports:
            variables[f"QUARTET_{other.upper()}_URL"] = f"http://{HOST}:{ports[f'{other}-api']}"
    if process == "api":
        variables["QUARTET_PORT"] = str(ports[f"{name}-api"])
    if process != "migrate":
        variables["QUARTET_PRIVATE_PORT"] = str(ports[f"{name}-{process}-private"])
    return base() | variables
