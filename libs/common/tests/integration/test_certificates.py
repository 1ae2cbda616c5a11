"""TLS as it is served and called: who gets a connection, who does not, and what a renewed certificate changes."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import httpx
import pytest
from quart import Quart
from redis.exceptions import ConnectionError as RedisConnectionError

from quartet_cli import ports
from quartet_common.config.certificates import Certificates, client_context
from quartet_common.config.settings import ServiceConfig
from quartet_common.data.cache import open_cache
from quartet_common.data.connections import connect_once
from quartet_common.messaging.broker import Broker
from quartet_common.runtime.server_settings import public_config
from quartet_common.runtime.service_client import open_http
from quartet_serving.server import serve_app
from quartet_testing.authority import Authority
from quartet_testing.conditions import eventually

YESTERDAY = datetime.now(UTC) - timedelta(days=1)

Serve = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "theirs")


@pytest.fixture
def with_tls(lone_config: ServiceConfig, ours: Authority) -> Callable[..., ServiceConfig]:
    """A config with a certificate for 127.0.0.1, and changes."""

    def make(**changes: Any) -> ServiceConfig:
        certfile, keyfile = ours.issue("127.0.0.1")
        [port] = ports.choose(1, set())
        files = {"certfile": certfile, "keyfile": keyfile, "trust": ours.bundle}
        return lone_config.model_copy(update={"port": port, **files, **changes})

    return make


@pytest.fixture
def mutual(ours: Authority) -> dict[str, Any]:
    """Settings that demand a certificate of our authority."""
    return {"verify_client": "required", "ca_certs": ours.bundle}


@asynccontextmanager
async def serving(config: ServiceConfig, certificates: Certificates | None = None) -> AsyncIterator[str]:
    """An app that answers its caller's HTTP version, at the URL that is given."""
    app, stopping = Quart("tls"), asyncio.Event()

    @app.get("/")
    async def hello() -> str:
        return "hello"

    running = asyncio.ensure_future(serve_app(app, public_config(config, certificates), stopping))

    async def listens() -> bool:
        assert not running.done(), running.exception()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", config.port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(listens, "the server listens")
    try:
        yield f"https://127.0.0.1:{config.port}/"
    finally:
        stopping.set()
        await asyncio.wait_for(running, 15)


async def answer(url: str, context: ssl.SSLContext, *, http2: bool = False) -> tuple[int, str]:
    """Status and HTTP version."""
    async with httpx.AsyncClient(verify=context, http2=http2, trust_env=False) as client:
        found = await client.get(url)
        return found.status_code, found.http_version


async def turned_away(url: str, context: ssl.SSLContext, *, http2: bool = False) -> None:
    """No answer comes: the handshake fails, which a TLS 1.3 client may learn only when it reads."""
    with pytest.raises(httpx.TransportError):
        await answer(url, context, http2=http2)


@pytest.mark.parametrize(("protocol", "http2"), [("http/1.1", False), ("h2", True), ("h2", False)])
async def test_with_mutual_tls_who_has_a_certificate_gets_an_answer_and_nobody_else(
    with_tls: Callable[..., ServiceConfig],
    mutual: dict[str, Any],
    ours: Authority,
    theirs: Authority,
    protocol: str,
    http2: bool,
) -> None:
    pair = ours.issue("groups", file="client")
    version = "HTTP/2" if http2 else "HTTP/1.1"
    async with serving(with_tls(protocol=protocol, **mutual)) as url:
        assert await answer(url, ours.client(*pair), http2=http2) == (200, version)
        await turned_away(url, ours.client(), http2=http2)
        await turned_away(url, ours.client(*theirs.issue("groups", file="client")), http2=http2)
        expired = ours.issue("groups", file="expired", not_after=YESTERDAY)
        await turned_away(url, ours.client(*expired), http2=http2)
        assert await answer(url, ours.client(*pair), http2=http2) == (200, version)


async def test_where_a_certificate_is_optional_none_will_do_but_no_foreign_one(
    with_tls: Callable[..., ServiceConfig], ours: Authority, theirs: Authority
) -> None:
    async with serving(with_tls(verify_client="optional", ca_certs=ours.bundle)) as url:
        assert await answer(url, ours.client()) == (200, "HTTP/1.1")
        assert await answer(url, ours.client(*ours.issue("groups", file="client"))) == (200, "HTTP/1.1")
        await turned_away(url, ours.client(*theirs.issue("groups", file="client")))


async def test_a_client_over_plain_http_gets_nothing(with_tls: Callable[..., ServiceConfig]) -> None:
    async with serving(with_tls()) as url, httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(url.replace("https:", "http:"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_an_old_tls_is_refused(
    with_tls: Callable[..., ServiceConfig], ours: Authority, version: ssl.TLSVersion
) -> None:
    old = ours.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = version
    async with serving(with_tls()) as url:
        await turned_away(url, old)
        old.maximum_version = ssl.TLSVersion.TLSv1_2  # the least that will do
        assert await answer(url, old) == (200, "HTTP/1.1")


async def called(config: ServiceConfig, url: str) -> int:
    """The status that the service's own client gets."""
    async with open_http(client_context(config)) as http:
        return (await http.get(url)).status_code


async def test_the_services_own_client_shows_its_certificate_and_checks_the_servers(
    with_tls: Callable[..., ServiceConfig], mutual: dict[str, Any], ours: Authority, theirs: Authority
) -> None:
    server = with_tls(**mutual)
    async with serving(server) as url:
        assert await called(server, url) == 200
        with pytest.raises(httpx.TransportError):
            await called(server.model_copy(update={"certfile": None, "keyfile": None}), url)
        for trust in (None, theirs.bundle):
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await called(server.model_copy(update={"trust": trust}), url)


@pytest.mark.parametrize(
    ("names", "not_after", "reason"),
    [(("users.example.com",), None, "IP address mismatch"), (("127.0.0.1",), YESTERDAY, "certificate has expired")],
)
async def test_a_server_of_another_name_or_time_is_not_called(
    with_tls: Callable[..., ServiceConfig],
    ours: Authority,
    names: tuple[str, ...],
    not_after: datetime | None,
    reason: str,
) -> None:
    certfile, keyfile = ours.issue(*names, file="odd", not_after=not_after)
    async with serving(with_tls(certfile=certfile, keyfile=keyfile)) as url:
        with pytest.raises(httpx.ConnectError, match=reason):
            await called(with_tls(), url)


def serial(config: ServiceConfig, ours: Authority) -> bytes | None:
    """The certificate that is served now."""
    with (
        socket.create_connection(("127.0.0.1", config.port), 5) as plain,
        ours.client().wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        return tls.getpeercert(binary_form=True)


async def test_a_renewed_certificate_is_served_without_a_restart_and_a_broken_one_is_not(
    with_tls: Callable[..., ServiceConfig], ours: Authority, theirs: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    config = with_tls()
    assert config.certfile is not None
    assert config.keyfile is not None
    certificates = Certificates(config)
    async with serving(config, certificates):
        first = await asyncio.to_thread(serial, config, ours)
        await certificates.refresh()
        assert await asyncio.to_thread(serial, config, ours) == first
        certfile, keyfile = ours.issue("127.0.0.1", file="renewed")
        config.certfile.write_bytes(certfile.read_bytes())  # the key comes later
        await certificates.refresh()
        assert "a renewed certificate cannot be used" in caplog.text
        assert await asyncio.to_thread(serial, config, ours) == first
        config.keyfile.write_bytes(keyfile.read_bytes())
        await certificates.refresh()
        second = await asyncio.to_thread(serial, config, ours)
        assert second != first
        config.certfile.unlink()
        await certificates.refresh()
        assert await asyncio.to_thread(serial, config, ours) == second


async def test_a_renewed_certificate_is_shown_to_others_too(
    with_tls: Callable[..., ServiceConfig], mutual: dict[str, Any], ours: Authority
) -> None:
    certfile, keyfile = ours.issue("groups", file="short", not_after=YESTERDAY)
    server = with_tls(**mutual)
    caller = server.model_copy(update={"client_certfile": certfile, "client_keyfile": keyfile})
    certificates = Certificates(caller)
    async with serving(server) as url, open_http(certificates.client) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(url)
        ours.issue("groups", file="short")
        await certificates.refresh()
        assert (await http.get(url)).status_code == 200


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[str]]]:
    """A server of no protocol: its port, and what TLS it has agreed upon with whom."""
    agreed: list[str] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agreed.append(writer.get_extra_info("ssl_object").version())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], agreed


def server_of(pair: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


@pytest.mark.parametrize("server", ["redis", "rabbitmq"])
async def test_backing_servers_are_verified_too(
    with_tls: Callable[..., ServiceConfig], ours: Authority, theirs: Authority, server: str
) -> None:
    async def connect(config: ServiceConfig) -> None:
        if server == "redis":
            async with open_cache(config) as client:
                await client.ping()
        else:
            await Broker(config).connect("test")

    for authority, trusted in ((ours, True), (theirs, False)):
        async with listening(server_of(authority.issue("127.0.0.1", file="backing"))) as (port, agreed):
            urls = {"redis_url": f"rediss://127.0.0.1:{port}/0", "broker_url": f"amqps://quartet@127.0.0.1:{port}/"}
            with pytest.raises((RedisConnectionError, aio_pika.exceptions.AMQPError, OSError)):
                await connect(with_tls(**urls))  # it never says anything
            assert bool(agreed) == trusted


async def test_postgresql_is_verified_by_the_same_authority(
    with_tls: Callable[..., ServiceConfig], ours: Authority, theirs: Authority
) -> None:
    """PostgreSQL agrees upon TLS inside its own protocol: what is played here is the server's S, and a handshake."""
    outcomes: list[str] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"S")
        try:
            await writer.start_tls(server_of(pair))
            outcomes.append("agreed")
        except (OSError, ConnectionError):
            outcomes.append("refused")
        writer.close()

    for authority, outcome in ((ours, "agreed"), (theirs, "refused")):
        pair = authority.issue("127.0.0.1", file="postgres")
        async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            url = f"postgresql://quartet_common@127.0.0.1:{port}/quartet?sslmode=verify-full"
            with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                await connect_once(with_tls(database_url=url))

            async def published() -> bool:
                return bool(outcomes)

            await eventually(published, "the handshake has ended")
            assert outcomes.pop() == outcome
