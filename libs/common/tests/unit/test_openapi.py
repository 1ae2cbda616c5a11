"""The OpenAPI document as it is served: built once in a thread, and not sent to a client that has it."""

import asyncio
import threading
from typing import Any

import pytest
from quart import Quart

from quartet_common.web.openapi import Published


class Provider:
    """Builds a document when it is let."""

    def __init__(self) -> None:
        self.built = 0
        self.go_on = threading.Event()

    def schema(self) -> dict[str, Any]:
        self.go_on.wait(10)
        self.built += 1
        return {"openapi": "3.1.0", "paths": {}}


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def app(provider: Provider) -> Quart:
    made = Quart("documented")
    made.add_url_rule("/openapi.json", "openapi", Published(provider.schema).document)

    @made.get("/other")
    async def other() -> str:
        return "other"

    return made


async def test_the_document_is_built_once_and_other_requests_do_not_wait_for_it(app: Quart, provider: Provider) -> None:
    client = app.test_client()
    asked = [asyncio.ensure_future(client.get("/openapi.json")) for _ in range(100)]
    assert (await asyncio.wait_for(client.get("/other"), 5)).status_code == 200
    assert provider.built == 0
    provider.go_on.set()
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert [await answer.get_json() for answer in answers] == [{"openapi": "3.1.0", "paths": {}}] * 100
    assert provider.built == 1


async def test_a_client_that_has_the_document_is_sent_nothing(app: Quart, provider: Provider) -> None:
    provider.go_on.set()
    client = app.test_client()
    first = await client.get("/openapi.json")
    assert first.headers["Cache-Control"] == "public, max-age=300"
    etag = first.headers["ETag"]
    assert etag.startswith('"')
    again = await client.get("/openapi.json", headers={"If-None-Match": etag})
    assert (again.status_code, await again.get_data(), again.headers["ETag"]) == (304, b"", etag)
    assert (await client.get("/openapi.json", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_client_that_disconnects_does_not_stop_the_building(app: Quart, provider: Provider) -> None:
    client = app.test_client()
    gone = asyncio.ensure_future(client.get("/openapi.json"))
    await asyncio.sleep(0)
    await client.get("/other")
    gone.cancel()
    provider.go_on.set()
    assert (await client.get("/openapi.json")).status_code == 200
    assert provider.built == 1
