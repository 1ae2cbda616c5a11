"""The processes of a stack, and the order in which they start and stop."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from quartet_cli import accounts, binaries, environment, instances, proxy_settings, settings
from quartet_cli.health import http_ready
from quartet_cli.layout import Home
from quartet_cli.ports import HOST
from quartet_cli.programs import Program
from quartet_cli.servers import exporters, nginx, postgres, rabbitmq, redis, victoria_metrics
from quartet_cli.state import State

SERVERS: Final = ("postgres", "redis", "epmd", "rabbitmq")
CERTIFICATES: Final = "proxy-certificates"


def programs(home: Home, state: State, services: Sequence[str], extra: Mapping[str, str]) -> list[Program]:
    """All programs, in the order in which `status` shows them."""
    found, ports = binaries.find(), state.ports
    servers = [
        postgres.program(found, Path(state.postgres_data), ports["postgres"]),
        redis.program(home, found, ports["redis"]),
        rabbitmq.epmd_program(home, found, ports["epmd"]),
        rabbitmq.program(home, found, ports),
    ]
    processes = [
        program(home, ports, service, process, extra, number)
        for service in services
        for process in instances.PROCESSES
        for number in range(1, len(instances.of(ports, service, process)) + 1)
    ]
    proxy = [nginx.program(home, found, ports), *certificate_watcher(home, extra)]
    return [*servers, *_engine(home, found, ports, extra), *processes, *proxy]


def _engine(home: Home, found: binaries.Binaries, ports: dict[str, int], extra: Mapping[str, str]) -> list[Program]:
    """VictoriaMetrics and the exporters that it reads, unless it is not installed, or the settings name another one."""
    port = ports.get(victoria_metrics.NAME)
    if found.victoria_metrics is None or port is None or settings.ENGINE_URL in extra:
        return []
    programs = [victoria_metrics.program(home, found.victoria_metrics, port, settings.engine_retention(extra))]
    if found.postgres_exporter is not None and exporters.POSTGRES in ports:  # an older stack may still run
        programs.append(exporters.postgres_program(home, found.postgres_exporter, ports))
    if found.redis_exporter is not None and exporters.REDIS in ports:
        programs.append(exporters.redis_program(home, found.redis_exporter, ports))
    return programs


def certificate_watcher(home: Home, extra: Mapping[str, str]) -> list[Program]:
    """The process that has nginx read a renewed certificate, with the rights of its master; none without TLS."""
    files = [extra.get(name) for name in (proxy_settings.CERTFILE, proxy_settings.KEYFILE)]
    if not all(files):
        return []
    command = (sys.executable, "-m", "quartet_cli.certificate_watcher", str(home.path), *map(str, files))
    user = "root" if accounts.is_root() else None
    return [Program(name=CERTIFICATES, command=command, directory=home.run, user=user)]


def program(
    home: Home, ports: dict[str, int], service: str, process: str, extra: Mapping[str, str], number: int = 1
) -> Program:
    """The `number`-th api or worker of a service. It is ready when its readiness probe is."""
    name = instances.of(ports, service, process)[number - 1]
    private = f"http://{HOST}:{ports[f'{name}-private']}"
    url = f"http://{HOST}:{ports[name]}" if process == "api" else private
    health = f"{private}/health/ready"  # another process may answer at the port of an api
    return Program(
        name=name,
        command=command(service, process),
        directory=home.run,
        url=url,
        environment=environment.service(home, ports, service, process, number) | dict(extra),
        check=lambda: http_ready(health),
    )


def spares(ports: dict[str, int], programs: Sequence[Program]) -> list[Program]:
    """The spare process of each api: it listens at the same port, and has a private port of the service's own."""
    found = []
    for api in programs:
        port = ports.get(f"{instances.service_of(api.name)}{instances.SPARE}-private")
        if instances.kind_of(api.name) == "api" and port is not None:  # an older stack may still run
            health = f"http://{HOST}:{port}/health/ready"
            variables = {**api.environment, "QUARTET_PRIVATE_PORT": str(port)}
            name = f"{api.name}{instances.SPARE}"
            found.append(replace(api, name=name, environment=variables, check=partial(http_ready, health)))
    return found


def command(service: str, process: str) -> tuple[str, ...]:
    """The command of a service's process, with the Python that runs this one."""
    return (sys.executable, "-m", f"quartet_{service}", process)


def stop_order(names: Sequence[str]) -> list[list[str]]:
    """Groups of processes that stop one after the other: first the proxy, then services, then their servers."""
    stages = [
        [name for name in names if name == "proxy"],
        [name for name in names if instances.kind_of(name) == "api"],
        [name for name in names if instances.kind_of(name) == "worker"],
        [name for name in names if name in (exporters.POSTGRES, exporters.REDIS)],
        [name for name in names if name in ("postgres", "redis", "rabbitmq", "victoria-metrics")],
        [name for name in names if name == "epmd"],
    ]
    others = [name for name in names if not any(name in stage for stage in stages)]
    return [stage for stage in (others, *stages) if stage]
