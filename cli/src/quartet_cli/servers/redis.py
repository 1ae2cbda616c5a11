"""The private Redis: a cache without persistence."""

from quartet_cli.binaries import Binaries
from quartet_cli.health import redis_ready
from quartet_cli.layout import Home
from quartet_cli.ports import HOST
from quartet_cli.programs import Program
from quartet_cli.servers.files import write_private


def program(home: Home, binaries: Binaries, port: int) -> Program:
    """Redis in the foreground."""
    return Program(
        name="redis",
        command=(str(binaries.redis), str(home.run / "redis.conf")),
        directory=home.data / "redis",
        url=f"redis://{HOST}:{port}/0",
        check=lambda: redis_ready(port, (home.secrets / "redis/password").read_text()),
    )


def prepare(home: Home, ports: dict[str, int]) -> None:
    """Write the configuration; if the memory is full, the least recently used keys are evicted."""
    folder = home.data / "redis"
    lines = [
        f"bind {HOST}",
        f"port {ports['redis']}",
        "protected-mode yes",
        f'dir "{folder}"',
        'save ""',
        "appendonly no",
        "maxmemory 256mb",
        "maxmemory-policy allkeys-lru",
        (home.secrets / "redis/auth.conf").read_text().strip(),
        (home.secrets / "redis/exporter.conf").read_text().strip(),
    ]
    write_private(home.run / "redis.conf", "\n".join(lines) + "\n", owner_of=folder)
