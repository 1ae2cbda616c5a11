"""What is meant to wear the service out: slow clients, bodies that grow or nest, and heads without an end."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_common.auth.scopes import SCOPES
from quartet_testing.attacks import answers, exchange, request, says_nothing
from quartet_testing.client import USERS, Api, user_document
from quartet_testing.forgery import Forger
from quartet_testing.openapi import FORM

pytestmark = pytest.mark.local_stack

SLOW = 60
"""Slow clients at once."""
PATIENCE = 30.0
"""Seconds in which the proxy must have given each of them up: several times its limits."""
BEAT = 0.25
"""Seconds between two bytes of a slow head."""


async def dribble(port: int, head: bytes) -> bytes:
    """Send a head a byte at a time for as long as anybody reads; what came back before the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = asyncio.create_task(reader.read())
    try:
        for byte in head * 100:
            writer.write(bytes([byte]))
            await asyncio.wait([received], timeout=BEAT)
            if received.done():
                break
        return await received
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def stall(port: int, sent: bytes) -> bytes:
    """Send what is not all, and nothing more; what came back before the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_slow_clients_are_disconnected_and_delay_no_others(stack: Stack, mine: Api, forger: Forger) -> None:
    port = stack._ports()["proxy"]
    half = request("POST", USERS, f"Authorization: Bearer {forger.token}", "Content-Length: 1000", body=b'{"schemas":')
    async with asyncio.timeout(PATIENCE):
        slow = [asyncio.create_task(dribble(port, b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")) for _ in range(SLOW)]
        slow += [asyncio.create_task(stall(port, half)) for _ in range(SLOW)]
        slow += [asyncio.create_task(stall(port, b"GET / HT")) for _ in range(SLOW)]
        served = 0
        while not all(task.done() for task in slow):
            begun = time.monotonic()
            assert (await mine.get(USERS, params={"count": 0})).status_code == 200
            served += time.monotonic() - begun < 2
            await asyncio.sleep(BEAT)
        given_up = [answer for task in slow for answer in answers(task.result())]
    assert served > 5
    assert {answer.status for answer in given_up} <= {400, 408}


@pytest.mark.parametrize("door", ["proxy", "users-api"])
async def test_a_head_without_an_end_is_refused_before_it_is_all_there(stack: Stack, door: str) -> None:
    port = stack._ports()[door]
    for sent in (
        request("GET", "/users/health/live", *(f"X-{number}: {'x' * 90}" for number in range(1000))),
        request("GET", "/users/health/live", f"X-A: {'x' * 100_000}"),
        request("GET", "/users/health/live?" + "a=1&" * 25_000),
        request("GET", "/users/health/live", f"Cookie: {'a=b; ' * 20_000}"),
    ):
        [answer] = await exchange(port, sent)
        assert answer.status in (400, 414, 431)
        says_nothing(answer.body.decode())
    few = request("GET", "/users/health/live", *(f"X-{number}: {'x' * 90}" for number in range(50)))
    [answer] = await exchange(port, few)
    assert answer.status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "identity;q=0, gzip"])
async def test_what_is_compressed_is_not_unpacked(mine: Api, encoding: str) -> None:
    small = gzip.compress(json.dumps(user_document()).encode())
    bomb = gzip.compress(b" " * 50_000_000)
    for packed in (small, bomb):
        headers = {"Content-Type": "application/scim+json", "Content-Encoding": encoding}
        answer = await mine.post(USERS, content=packed, headers=headers)
        assert answer.status_code in (400, 415)


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"<a/>",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"-0.0e999",
    "NaN": b'{"a": NaN}',
    "a number of 5,000 digits": b'{"count": 1' + b"0" * 5000 + b"}",
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a lone surrogate": b'{"id": "\\ud800", "name": "\\udfff", "user_name": "\\ud800", "password": "\\ud800"}',
    "a NUL": b'{"id": "\\u0000", "name": "a\\u0000b", "user_name": "\\u0000", "password": "\\u0000"}',
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "UTF-16": '{"id": "b"}'.encode("utf-16"),
    "a key twice": b'{"x": "a", "x": "b"}',
    "many keys": b"{" + b",".join(b'"k%d":1' % number for number in range(50_000)) + b"}",
    "many things": b'{"ids": [' + b",".join([b"{}"] * 50_000) + b"]}",
    "a million": json.dumps({"id": "x" * 1_000_000, "name": "x" * 10}).encode(),
}
FORMS: dict[str, bytes] = {
    "nothing": b"",
    "many fields": b"&".join(b"a%d=1" % number for number in range(20_000)),
    "one field often": b"&".join([b"grant_type=client_credentials"] * 20_000),
    "not UTF-8": b"grant_type=%ff%fe&client_id=%00&client_secret=%ed%a0%80",
    "a long one": b"grant_type=client_credentials&client_id=" + b"x" * 500_000,
    "brackets": b"grant_type[]=client_credentials&client_id[a][b]=x",
}
VALID = {("/metrics/prometheus/api/v1/labels", "nothing"), ("/metrics/otlp/v1/metrics", "nothing")}
"""What may be empty, by the path and the name of the body: a form for the labels of all series, a Protobuf message
without metrics.
"""


def taking_bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Method, path and media type of each route that takes a body."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}) if isinstance(operation, dict) else {}
            for media in list(content)[:1]:
                yield method.upper(), path.replace("{", "").replace("}", ""), media


@pytest.fixture(scope="module")
async def everybody(stack: Stack, forger: Forger) -> AsyncIterator[Api]:
    """A client with every scope that there is, so that nothing is refused before it is read."""
    async with Api(stack.url, forger.genuine(scope=" ".join(SCOPES))) as client:
        yield client


@pytest.mark.parametrize("service", SERVICES)
async def test_a_body_that_is_none_is_refused_by_every_route_that_takes_one(everybody: Api, service: str) -> None:
    document = (await everybody.get(f"/{service}/openapi.json")).json()
    for method, path, media in taking_bodies(document):
        for name, body in (FORMS if media == FORM else BODIES).items():
            if (path, name) in VALID:
                continue
            answer = await everybody.request(method, path, content=body, headers={"Content-Type": media})
            assert 400 <= answer.status_code < 500, f"{method} {path}, {name}: {answer.status_code} {answer.text[:300]}"
            assert len(answer.content) < 4000, f"{method} {path}, {name}"
            says_nothing(answer.text)


async def test_a_form_of_many_parts_is_refused(stack: Stack) -> None:
    parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nx\r\n' % one for one in range(5000))
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        answer = await client.post("/oauth2/token", content=parts + b"--b--\r\n", headers=headers)
    assert 400 <= answer.status_code < 500
