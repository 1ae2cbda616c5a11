"""Retry: waiting for a server, and which calls may be repeated."""

import asyncio
import logging

import httpx
import pytest
import stamina

from quartet_common.core.retry import QUIET, Backoff, connect_with_retry
from quartet_common.runtime.service_client import is_retryable


class Server:
    """Refuses the first `refusals` connections."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.calls = 0

    async def connect(self) -> str:
        self.calls += 1
        if self.calls <= self.refusals:
            raise ConnectionRefusedError(111, "refused")
        return "connected"


async def test_it_connects_as_soon_as_the_server_does_and_logs_each_attempt(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(refusals=2)
    with caplog.at_level(logging.INFO, "quartet_common.core.retry"):
        assert await connect_with_retry(server.connect, "postgresql", retry_interval=0.01) == "connected"
    assert server.calls == 3
    published = [record for record in caplog.records if record.name == "quartet_common.core.retry"]
    assert [(record.message, record.__dict__["attempt"], record.__dict__["server"]) for record in published] == [
        ("connecting failed", 1, "postgresql"),
        ("connecting failed", 2, "postgresql"),
        ("connected", 3, "postgresql"),
    ]


async def test_it_gives_up_after_the_last_attempt_and_names_the_server() -> None:
    server = Server(refusals=99)
    with pytest.raises(SystemExit, match=r"rabbitmq could not be reached in 4 attempts: .*refused"):
        await connect_with_retry(server.connect, "rabbitmq", max_attempts=4, retry_interval=0.01)
    assert server.calls == 4


async def test_without_a_limit_it_goes_on() -> None:
    server = Server(refusals=40)
    assert await connect_with_retry(server.connect, "redis", max_attempts=None, retry_interval=0.001) == "connected"


async def test_pauses_double_up_to_the_longest() -> None:
    pauses: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: pauses.append(details.wait_for)])
    try:
        with pytest.raises(SystemExit):
            await connect_with_retry(Server(refusals=99).connect, "postgresql", max_attempts=8, retry_interval=0.032)
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    for pause, least in zip(pauses, (0.002, 0.004, 0.008, 0.016, 0.032, 0.032, 0.032), strict=True):
        assert least - 1e-9 <= pause <= min(least + 0.002, 0.032) + 1e-9  # the jitter


def test_pauses_grow_with_failures_up_to_three_seconds_and_are_short_again_after_a_quiet_while() -> None:
    now = 0.0
    pauses = Backoff(lambda: now)
    for most in (0.2, 0.4, 0.8, 1.6, 3.0, 3.0):
        assert most / 2 <= pauses.next() <= most
    now += QUIET
    assert pauses.next() <= 0.2


async def test_a_cancelled_connect_is_not_retried() -> None:
    calls = 0

    async def cancelled() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await connect_with_retry(cancelled, "postgresql", retry_interval=0.01)
    assert calls == 1


def status_error(method: str, status: int) -> httpx.HTTPStatusError:
    request = httpx.Request(method, "http://users.example.com/")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_idempotent_call_is_repeated_when_a_server_in_between_failed(method: str, status: int) -> None:
    assert is_retryable(status_error(method, status))


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 503), ("PATCH", 503), ("GET", 500), ("GET", 404), ("GET", 429), ("PUT", 409)]
)
def test_other_answers_are_final(method: str, status: int) -> None:
    assert not is_retryable(status_error(method, status))


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_what_never_left_is_repeated_whatever_it_was(kind: type[httpx.TransportError]) -> None:
    assert is_retryable(kind("no", request=httpx.Request("POST", "http://users.example.com/")))


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
def test_what_may_have_arrived_is_repeated_only_if_that_does_no_harm(kind: type[httpx.TransportError]) -> None:
    assert is_retryable(kind("no", request=httpx.Request("GET", "http://users.example.com/")))
    assert not is_retryable(kind("no", request=httpx.Request("POST", "http://users.example.com/")))


def test_errors_of_our_own_are_never_repeated() -> None:
    assert not is_retryable(ValueError("a bug"))
