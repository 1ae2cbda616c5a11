"""Quart's end of a request: headers that are found by name, and the blueprints of a route."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart import Blueprint, Quart, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from quartet_serving.asgi import HttpConnection, ServedApp
from quartet_serving.exchange import EXTENSION
from quartet_serving.request import MAX_WAITING, DeferredBody, ReceivedHeaders

RECEIVED = [
    (b"host", b"a"),
    (b"x-two", b"first"),
    (b"x-two", b"second"),
    (b"content-length", b"12"),
    (b"x-odd", b"\xe9"),
]


@pytest.fixture
def headers() -> ReceivedHeaders:
    return ReceivedHeaders("192.0.2.1", RECEIVED)


@pytest.mark.parametrize("name", ["X-Two", "x-two", "X-TWO"])
def test_a_header_is_found_by_its_name_in_any_case(headers: ReceivedHeaders, name: str) -> None:
    assert headers[name] == "first"
    assert headers.get(name) == "first"
    assert name in headers
    assert headers.getlist(name) == ["first", "second"]


def test_what_was_not_sent_is_not_there(headers: ReceivedHeaders) -> None:
    assert headers.get("X-None") is None
    assert headers.get("X-None", "other") == "other"
    assert "X-None" not in headers
    with pytest.raises(KeyError):
        headers["X-None"]


def test_a_value_can_be_asked_for_as_another_type(headers: ReceivedHeaders) -> None:
    assert headers.get("Content-Length", type=int) == 12
    assert headers.get("X-Two", 7, type=int) == 7


def test_values_are_latin_1_and_names_are_written_as_usual(headers: ReceivedHeaders) -> None:
    assert headers["X-Odd"] == "é"
    assert [name for name, _ in headers][:2] == ["Remote-Addr", "Host"]


def test_a_client_cannot_say_that_it_is_somebody_else() -> None:
    headers = ReceivedHeaders("192.0.2.1", [(b"remote-addr", b"203.0.113.9")])
    assert headers["Remote-Addr"] == headers.get("Remote-Addr") == "192.0.2.1"


def test_received_headers_do_not_change(headers: ReceivedHeaders) -> None:
    with pytest.raises(TypeError):
        headers["Host"] = "b"
    with pytest.raises(TypeError):
        headers.add("Host", "b")


@pytest.fixture
def app() -> Quart:
    """An app with a blueprint inside another, whose hooks note that they ran."""
    app = ServedApp("test")
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
    ran: list[str] = []

    @inner.get("/view/<name>")
    async def view(name: str) -> str:
        return ",".join((name, *request.blueprints, *ran))

    @inner.get("/slash/")
    async def slash() -> str:
        return "slash"

    @outer.before_request
    async def of_outer() -> None:
        ran.append("outer ran")

    @inner.before_request
    def of_inner() -> None:
        ran.append("inner ran")

    @app.after_request
    async def mark(response: Response) -> Response:
        response.headers["X-Marked"] = "yes"
        return response

    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/outer")
    return app


async def test_hooks_of_nested_blueprints_run_whether_they_wait_or_not(app: Quart) -> None:
    response = await app.test_client().get("/outer/inner/view/me")
    assert (await response.get_data(as_text=True)) == "me,outer.inner,outer,outer ran,inner ran"
    assert response.headers["X-Marked"] == "yes"


async def test_addresses_are_matched_as_quart_does_it(app: Quart) -> None:
    client = app.test_client()
    moved = await client.get("/outer/inner/slash?a=b", headers={"Host": "directory.example.com"})
    assert (moved.status_code, moved.headers["Location"]) == (
        308,
        "http://directory.example.com/outer/inner/slash/?a=b",
    )
    assert (await client.get("/outer/inner/none")).status_code == 404
    assert (await client.post("/outer/inner/view/me")).status_code == 405
    assert (await client.get("/outer/inner/view/me", headers={"Host": "no host"})).status_code == 200


async def test_there_are_no_sessions(app: Quart) -> None:
    response = await app.test_client().get("/outer/inner/view/me", headers={"Cookie": "session=abc"})
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(("limit", "cut_off"), [(1e-6, True), (None, False)])
async def test_a_response_is_cut_off_by_its_limit_alone_and_that_is_logged(
    limit: float | None, cut_off: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = ServedApp("test")
    app.config["RESPONSE_TIMEOUT"] = 1e-6
    sent: list[bytes] = []

    @app.get("/")
    async def stream() -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            for _ in range(1000):  # turns of the loop, each longer than the limit
                await asyncio.sleep(0)
            yield b"last"

        response = Response(pieces())
        response.timeout = limit
        return response

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    exchange = SimpleNamespace(take_whole=lambda: b"", task=None)
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/", "query_string": b""}
    await HttpConnection(app, cast(Any, {**scope, "headers": [], "extensions": {EXTENSION: exchange}}))(
        cast(Any, None), cast(Any, send)
    )
    assert (b"last" in sent) is not cut_off
    assert ("a response was cut off" in caplog.text) is cut_off


async def test_a_body_is_not_received_before_a_view_wants_it() -> None:
    app, received = ServedApp("test"), list[int]()

    @app.post("/")
    async def view() -> str:
        for _ in range(20):  # turns of the loop in which it could be received
            await asyncio.sleep(0)
        before = len(received)
        return f"{before} {len(await request.get_data())}"

    async def receive() -> dict[str, Any]:
        received.append(1)
        if len(received) > 3:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"abc", "more_body": len(received) < 3}

    sent: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    scope = {"type": "http", "http_version": "2", "method": "POST", "scheme": "http", "path": "/", "query_string": b""}
    await HttpConnection(app, cast(Any, {**scope, "headers": []}))(cast(Any, receive), cast(Any, send))
    assert b"".join(sent) == b"0 9"


async def test_a_body_is_taken_in_pieces_while_it_arrives() -> None:
    body = DeferredBody(None, None)
    body.requested = asyncio.Event()
    pieces = body.pieces(100)
    first = asyncio.ensure_future(anext(pieces))
    await asyncio.wait_for(body.requested.wait(), 5)
    body.append(b"one")
    assert await first == b"one"
    body.append(b"two")
    body.append(b"three")
    body.set_complete()
    assert [piece async for piece in pieces] == [b"twothree"]
    assert body.size == 0


async def test_reading_pauses_while_pieces_of_a_body_are_not_taken() -> None:
    body = DeferredBody(None, None)
    pieces = body.pieces(10 * MAX_WAITING)
    body.append(b"x")
    assert await anext(pieces) == b"x"
    body.append(b"x" * (MAX_WAITING + 1))
    waiting = asyncio.ensure_future(body.has_room())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    assert len(await anext(pieces)) == MAX_WAITING + 1
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("is_complete", [False, True])
async def test_a_body_in_pieces_has_a_limit(is_complete: bool) -> None:
    body = DeferredBody(None, None)
    pieces = body.pieces(3)
    body.append(b"abcd")
    if is_complete:
        body.set_complete()
    with pytest.raises(RequestEntityTooLarge):
        await anext(pieces)
