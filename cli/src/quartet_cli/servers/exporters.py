"""Exporters: the numbers of PostgreSQL and Redis for the engine. Both read with an account that can do nothing else."""

from pathlib import Path

from quartet_cli.health import http_ready
from quartet_cli.layout import Home
from quartet_cli.ports import HOST
from quartet_cli.programs import Program

USER = "quartet_exporter"
POSTGRES, REDIS = "postgres-exporter", "redis-exporter"


def postgres_program(home: Home, binary: Path, ports: dict[str, int]) -> Program:
    """The exporter of PostgreSQL. Its settings are in the environment: all users can read command lines."""
    flags = ("--disable-settings-metrics", "--log.level=warn")
    return _program(
        home,
        POSTGRES,
        (str(binary), f"--web.listen-address={HOST}:{ports[POSTGRES]}", *flags),
        ports,
        {
            "DATA_SOURCE_URI": f"{HOST}:{ports['postgres']}/quartet?sslmode=disable",
            "DATA_SOURCE_USER": USER,
            "DATA_SOURCE_PASS": _password(home, POSTGRES),
        },
    )


def redis_program(home: Home, binary: Path, ports: dict[str, int]) -> Program:
    """The exporter of Redis, which needs only INFO."""
    return _program(
        home,
        REDIS,
        (str(binary), f"-web.listen-address={HOST}:{ports[REDIS]}"),
        ports,
        {
            "REDIS_ADDR": f"redis://{HOST}:{ports['redis']}",
            "REDIS_USER": USER,
            "REDIS_PASSWORD": _password(home, REDIS),
            "REDIS_EXPORTER_CONFIG_COMMAND": "-",
        },
    )


def _program(
    home: Home, name: str, command: tuple[str, ...], ports: dict[str, int], environment: dict[str, str]
) -> Program:
    url = f"http://{HOST}:{ports[name]}"
    one_core = {"GOMAXPROCS": "1"}
    return Program(
        name=name,
        command=command,
        directory=home.run,
        url=url,
        environment=environment | one_core,
        check=lambda: http_ready(f"{url}/"),
    )


def _password(home: Home, name: str) -> str:
    """The password; none before the first start has made the secrets."""
    file = home.secrets / name / "password"
    return file.read_text() if file.exists() else ""
