"""Settings of the launcher and the services: the environment, then `settings.env` in the home."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from quartet_cli.environment import OWN, SECRETS, SETTING
from quartet_cli.errors import QuartetError

PORT: Final = "QUARTET_PORT"
DEFAULT_PORT: Final = 8080
PROXY_CONNECTIONS: Final = "QUARTET_PROXY_CONNECTIONS"
DEFAULT_PROXY_CONNECTIONS: Final = 256
ENGINE_URL: Final = "QUARTET_METRICS_ENGINE_URL"
ENGINE_RETENTION: Final = "QUARTET_METRICS_ENGINE_RETENTION"
DEFAULT_RETENTION: Final = "400d"
DURATION: Final = re.compile(r"[1-9][0-9]{0,4}[hdwy]?")
LINE: Final = re.compile(r"(?:export\s+)?(\w+)\s*=\s*(.*)")
EXAMPLE: Final = """\
# Settings of this stack, read by ./quartet up; a variable of the environment wins over a line here.
# To apply a change: ./quartet down && ./quartet up. Secrets cannot be set here.
# docs/configuration.md lists all settings.
#
# QUARTET_PORT=8080
# QUARTET_LOG_LEVEL=INFO
# QUARTET_PUBLIC_URL=http://127.0.0.1:8080
"""


def read(path: Path) -> dict[str, str]:
    """The settings in a file of lines `NAME=VALUE`; none if the file does not exist. Raises QuartetError."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise QuartetError(f"Cannot read {path}: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            name, value = _setting(line, f"{path}, line {number}")
            found[name] = value
    return found


def _setting(line: str, place: str) -> tuple[str, str]:
    parts = LINE.fullmatch(line)
    if parts is None:
        raise QuartetError(f"{place}: expected NAME=VALUE, got {line[:80]!r}")
    name, value = parts[1], parts[2]
    if SECRETS.fullmatch(name):
        raise QuartetError(f"{place}: {name} is a secret and cannot be set here")
    if SETTING.fullmatch(name) is None or name in OWN - {PORT}:
        raise QuartetError(f"{place}: {name} cannot be set here; docs/configuration.md lists the settings")
    if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1:
        value = value[1:-1]
    return name, value


def current(path: Path) -> dict[str, str]:
    """The settings of the file and of the environment, which has priority."""
    return {**read(path), **{name: value for name, value in os.environ.items() if name.startswith("QUARTET_")}}


def write_example(path: Path) -> None:
    """Write the commented example if there is no file."""
    if not path.exists():
        path.write_text(EXAMPLE)


def port(settings: Mapping[str, str]) -> int | None:
    """The proxy's port, None if it is not set. Raises QuartetError."""
    return _number(settings, PORT)


def proxy_connections(settings: Mapping[str, str]) -> int:
    """The number of parallel requests of one address at the proxy. Raises QuartetError."""
    return _number(settings, PROXY_CONNECTIONS) or DEFAULT_PROXY_CONNECTIONS


def engine_retention(settings: Mapping[str, str]) -> str:
    """How long the private VictoriaMetrics keeps samples, as its flag. Raises QuartetError."""
    given = settings.get(ENGINE_RETENTION) or DEFAULT_RETENTION
    if DURATION.fullmatch(given) is None:
        raise QuartetError(
            f"{ENGINE_RETENTION} must be a number of months, or of h, d, w or y as in 400d, got {given!r}"
        )
    return given


def _number(settings: Mapping[str, str], name: str) -> int | None:
    """A setting as a number from 1 to 65535, for ports and limits of nginx; None if it is not set."""
    given = settings.get(name)
    if not given:
        return None
    if not given.isascii() or not given.isdecimal() or not 0 < int(given) < 65536:
        raise QuartetError(f"{name} must be 1-65535, got {given!r}")
    return int(given)
