"""Server URLs: the hosts in the URLs of PostgreSQL, Redis and RabbitMQ. Commas separate several hosts."""

import re
from dataclasses import dataclass
from typing import NamedTuple

FORM = re.compile(r"(?P<scheme>[a-z+]+)://(?P<user>[^/?#]*@)?(?P<hosts>[^@/?#]*)(?P<rest>[/?#].*)?")
HOST = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^\[\]:]+)(?::(.*))?")
MAX_PORT = 65_535

DATABASE = ("postgresql", "postgres")
REDIS = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
BROKER = ("amqp", "amqps")
WRITABLE = re.compile(r"[?&]target_session_attrs=(read-write|primary)(&|$)")
MASTER = re.compile(r"/(?P<name>[^/?#]+)(?:/(?P<database>[^/?#]*))?")
SENTINEL_PORT = 26_379


class Host(NamedTuple):
    """A host of a URL; `name` of an IPv6 address has its brackets."""

    name: str
    port: int | None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


@dataclass(frozen=True)
class ServerUrl:
    """A URL with its hosts. `user` ends with `@` if there is one; `rest` is the path and the query."""

    scheme: str
    user: str
    hosts: tuple[Host, ...]
    rest: str

    def at(self, host: Host) -> str:
        """The URL with one host."""
        return f"{self.scheme}://{self.user}{host}{self.rest}"


@dataclass(frozen=True)
class Master:
    """The Redis that sentinels name: the name of its group, and the number of the database."""

    name: str
    database: int


def read_database_url(text: str) -> ServerUrl:
    """The URL of PostgreSQL. Without a host, its query names a socket. Raises ValueError."""
    url = _read(text, DATABASE, needs_host="?host=" not in text and "&host=" not in text)
    if len(url.hosts) > 1 and WRITABLE.search(url.rest) is None:
        raise ValueError(
            f"names {len(url.hosts)} hosts: end it with ?target_session_attrs=read-write, so that only the one that "
            "takes writes is used"
        )
    return url


def read_broker_url(text: str) -> ServerUrl:
    """The URL of RabbitMQ. Raises ValueError."""
    return _read(text, BROKER)


def read_redis_url(text: str) -> ServerUrl:
    """The URL of Redis; those of sentinels have a `master_of`. Raises ValueError."""
    url = _read(text, REDIS, needs_host=not text.startswith("unix:"))
    if master_of(url) is None and len(url.hosts) > 1:
        raise ValueError(
            f"names {len(url.hosts)} hosts: for several, use Redis Sentinel, redis+sentinel://HOST:26379,HOST:26379/NAME"
        )
    return url


def master_of(url: ServerUrl) -> Master | None:
    """The master that the sentinels at `url` watch; None for the URL of a Redis. Raises ValueError."""
    if not url.scheme.endswith("+sentinel"):
        return None
    found = MASTER.fullmatch(url.rest)
    if found is None:
        raise ValueError(f"needs the name of the master that the sentinels watch: {url.scheme}://HOST:26379/NAME/0")
    database = found["database"] or "0"
    if not database.isascii() or not database.isdigit():
        raise ValueError(f"the database after the name of the master must be a number, not {database!r}")
    return Master(found["name"], int(database))


def _read(text: str, schemes: tuple[str, ...], *, needs_host: bool = True) -> ServerUrl:
    found = FORM.fullmatch(text)
    if found is None or found["scheme"] not in schemes:
        raise ValueError(f"must be a URL that begins with {', '.join(f'{one}://' for one in schemes)}")
    named = found["hosts"].split(",") if found["hosts"] or needs_host else []
    return ServerUrl(found["scheme"], found["user"] or "", tuple(map(_host, named)), found["rest"] or "")


def _host(text: str) -> Host:
    found = HOST.fullmatch(text)
    if found is None:
        raise ValueError(f"has no valid host at {text!r}: write HOST:PORT, several separated by commas without spaces")
    name, port = found.groups()
    if name != name.strip():
        raise ValueError(f"has a space at the host {text!r}: separate hosts by commas without spaces")
    if port is None:
        return Host(name, None)
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= MAX_PORT:
        raise ValueError(f"the port of {name} must be a number from 1 to {MAX_PORT}, not {port!r}")
    return Host(name, int(port))
