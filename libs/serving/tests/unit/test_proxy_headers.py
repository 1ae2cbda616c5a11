"""Behind proxies: what is believed of that which was forwarded."""

from typing import Any

import pytest

from quartet_serving.proxy_headers import BehindProxies

Scope = dict[str, Any]
FORWARDED = [
    (b"host", b"inner"),
    (b"x-forwarded-for", b"203.0.113.9, 198.51.100.4"),
    (b"x-forwarded-for", b" 192.0.2.7"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"directory.example.com"),
]


async def seen(trusted: int, headers: list[tuple[bytes, bytes]], kind: str = "http") -> tuple[Scope, Scope]:
    """The scope that came, and the one that the application sees."""
    came = {"type": kind, "client": ("127.0.0.1", 4000), "scheme": "http", "headers": headers}
    found: list[Scope] = []

    async def app(scope: Scope, *_: Any) -> None:
        found.append(scope)

    async def nothing() -> None:
        return None

    await BehindProxies(app, trusted)(came, nothing, nothing)
    return came, found[0]


@pytest.mark.parametrize(("trusted", "client"), [(1, "192.0.2.7"), (2, "198.51.100.4"), (3, "203.0.113.9")])
async def test_each_trusted_proxy_adds_one_address_at_the_end(trusted: int, client: str) -> None:
    _, scope = await seen(trusted, FORWARDED)
    assert scope["client"] == (client, 0)


async def test_scheme_and_host_are_those_that_the_client_used() -> None:
    came, scope = await seen(1, FORWARDED)
    assert scope["scheme"] == "https"
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"directory.example.com"]
    assert came["headers"] == FORWARDED, "what came is not changed"


async def test_less_than_the_trusted_proxies_add_is_not_believed() -> None:
    _, scope = await seen(4, FORWARDED)
    assert (scope["client"], scope["scheme"], scope["headers"]) == (("127.0.0.1", 4000), "http", FORWARDED)


async def test_the_life_of_the_application_is_no_request() -> None:
    came, scope = await seen(1, [], "lifespan")
    assert scope is came


@pytest.mark.parametrize("value", [b"", b" ", b"192.0.2.7,", b"\xe9"])
async def test_a_header_that_says_nothing_changes_nothing(value: bytes) -> None:
    names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    came, scope = await seen(1, [(b"host", b"inner"), *((name, value) for name in names)])
    assert scope == came
