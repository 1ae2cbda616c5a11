"""Calls to other services: retries, the circuit breaker, the token and the caller's names."""

import asyncio
from base64 import b64decode
from collections.abc import Callable
from urllib.parse import unquote_plus

import httpx
import pytest

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.fair_share import ShareExceededError
from quartet_common.runtime import service_client as common_http
from quartet_common.runtime.service_client import FAILURES_BEFORE_OPEN, FRESH, ServiceClient, ServiceToken
from quartet_testing.conditions import eventually

CALLER = Caller("acme", "bjensen", "192.0.2.1", actor_name="Jürgen", actor_type="user", user_agent="curl/8.0 (x)")
Answer = httpx.Response | Exception


class Server:
    """Answers with what is put into it, one after the other; the last answer stays."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)

    def client(self, on_refusal: Callable[[], None] = lambda: None) -> ServiceClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return ServiceClient("users", "http://users.example.com/", lambda: http, token, on_refusal)


async def token() -> str:
    return "the-token"


async def test_a_secret_of_any_letters_arrives_as_it_is() -> None:
    server = Server(httpx.Response(200, json={"access_token": "t", "expires_in": 600}))
    http = httpx.AsyncClient(transport=httpx.MockTransport(server.answer))
    await ServiceToken(http, "http://users.example.com", "quartet-groups", "1+1 = 50%20ü").get()
    scheme, _, proof = server.requests[0].headers["Authorization"].partition(" ")
    client, _, secret = b64decode(proof).decode().partition(":")
    assert (scheme, unquote_plus(client), unquote_plus(secret)) == ("Basic", "quartet-groups", "1+1 = 50%20ü")


def refused() -> Exception:
    return httpx.ConnectError("refused")


async def test_a_call_carries_the_service_token_and_the_names_of_the_caller() -> None:
    server = Server(httpx.Response(200))
    await server.client().request("GET", "/scim/v2/Users", CALLER, params={"count": 1}, headers={"If-Match": "x"})
    [request] = server.requests
    assert str(request.url) == "http://users.example.com/scim/v2/Users?count=1"
    assert request.headers["Authorization"] == "Bearer the-token"
    assert request.headers["Quartet-Tenant"] == "acme"
    assert request.headers["Quartet-Actor"] == "bjensen"
    assert request.headers["X-Forwarded-For"] == "192.0.2.1"
    assert request.headers["Quartet-Actor-Name"] == "J%C3%BCrgen"
    assert request.headers["Quartet-Actor-Type"] == "user"
    assert request.headers["Quartet-User-Agent"] == "curl/8.0%20(x)"
    assert request.headers["If-Match"] == "x"


async def test_names_that_are_not_ascii_are_sent_as_such() -> None:
    server = Server(httpx.Response(200))
    await server.client().request("GET", "/", Caller("bücher", "50% Jürgen ", None))
    assert server.requests[0].headers["Quartet-Tenant"] == "b%C3%BCcher"
    assert server.requests[0].headers["Quartet-Actor"] == "50%25%20J%C3%BCrgen%20"
    assert not {"Quartet-Actor-Name", "Quartet-Actor-Type", "Quartet-User-Agent"} & server.requests[0].headers.keys()


async def test_headers_of_a_call_cannot_replace_the_callers_names() -> None:
    server = Server(httpx.Response(200))
    await server.client().request("GET", "/", CALLER, headers={"Quartet-Tenant": "other", "Authorization": "x"})
    assert server.requests[0].headers["Quartet-Tenant"] == "acme"
    assert server.requests[0].headers["Authorization"] == "Bearer the-token"


@pytest.mark.parametrize("status", [200, 201, 304, 400, 404, 409])
async def test_an_answer_below_500_is_handed_on_as_it_is(status: int) -> None:
    server = Server(httpx.Response(status, content=b"x"))
    response = await server.client().request("GET", "/", CALLER)
    assert (response.status_code, response.content) == (status, b"x")
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("second", [200, 401])
async def test_a_refused_token_is_replaced_once_since_nothing_was_done_with_it(method: str, second: int) -> None:
    server, forgotten = Server(httpx.Response(401), httpx.Response(second)), list[bool]()
    client = server.client(lambda: forgotten.append(True))
    assert (await client.request(method, "/", CALLER)).status_code == second
    assert (len(server.requests), len(forgotten)) == (2, 1)


async def test_a_share_that_is_exceeded_there_is_no_failure_of_the_service() -> None:
    server = Server(httpx.Response(429))
    client = server.client()
    for _ in range(10):  # more than open the breaker
        with pytest.raises(ShareExceededError, match=r"429 share_exceeded: .* the users service"):
            await client.request("GET", "/", CALLER)
    assert len(server.requests) == 10


async def test_an_idempotent_call_is_tried_three_times() -> None:
    server = Server(refused(), httpx.Response(503), httpx.Response(200))
    assert (await server.client().request("GET", "/", CALLER)).status_code == 200
    assert len(server.requests) == 3


async def test_after_the_third_time_the_service_is_unavailable() -> None:
    server = Server(httpx.Response(503))
    with pytest.raises(UnavailableError) as error:
        await server.client().request("PUT", "/", CALLER)
    assert (error.value.server, error.value.status) == ("users", 503)
    assert len(server.requests) == 3


@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("gone")])
async def test_a_post_that_may_have_arrived_is_not_sent_again(answer: Answer) -> None:
    server = Server(answer)
    with pytest.raises(UnavailableError):
        await server.client().request("POST", "/", CALLER)
    assert len(server.requests) == 1


async def test_a_post_that_never_left_is_sent_again() -> None:
    server = Server(refused(), httpx.Response(201))
    assert (await server.client().request("POST", "/", CALLER)).status_code == 201


async def test_a_500_is_final() -> None:
    server = Server(httpx.Response(500))
    with pytest.raises(UnavailableError):
        await server.client().request("GET", "/", CALLER)
    assert len(server.requests) == 1


async def test_after_many_failures_the_circuit_opens_and_nobody_is_asked() -> None:
    server = Server(httpx.Response(500))
    client = server.client()
    for _ in range(FAILURES_BEFORE_OPEN):
        with pytest.raises(UnavailableError):
            await client.request("GET", "/", CALLER)
    server.answers = [httpx.Response(200)]
    with pytest.raises(UnavailableError):
        await client.request("GET", "/", CALLER)
    assert len(server.requests) == FAILURES_BEFORE_OPEN


@pytest.mark.parametrize("code", ["capacity_exceeded", "postgresql_contended"])
async def test_a_service_that_is_busy_does_not_open_the_circuit(code: str) -> None:
    server = Server(httpx.Response(503, json={"status": 503, "code": code}))
    client = server.client()
    for _ in range(FAILURES_BEFORE_OPEN + 1):
        with pytest.raises(UnavailableError):
            await client.request("POST", "/", CALLER)
    server.answers = [httpx.Response(200)]
    assert (await client.request("POST", "/", CALLER)).status_code == 200


@pytest.mark.parametrize("content", [b"", b"[]", b'{"code": "postgresql_unavailable"}'])
async def test_a_service_that_is_down_opens_the_circuit_whatever_its_answer_holds(content: bytes) -> None:
    server = Server(httpx.Response(503, content=content))
    client = server.client()
    for _ in range(FAILURES_BEFORE_OPEN):
        with pytest.raises(UnavailableError):
            await client.request("POST", "/", CALLER)
    server.answers = [httpx.Response(200)]
    with pytest.raises(UnavailableError):
        await client.request("POST", "/", CALLER)
    assert len(server.requests) == FAILURES_BEFORE_OPEN


async def test_an_open_circuit_closes_when_the_service_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_http, "SECONDS_OPEN", 0.05)
    server = Server(httpx.Response(500))
    client = server.client()
    for _ in range(FAILURES_BEFORE_OPEN):
        with pytest.raises(UnavailableError):
            await client.request("GET", "/", CALLER)
    server.answers = [httpx.Response(200)]
    assert await until_answered(client) == 200
    assert len(server.requests) == FAILURES_BEFORE_OPEN + 1


async def until_answered(client: ServiceClient) -> int:
    async def answered() -> int:
        try:
            return (await client.request("GET", "/", CALLER)).status_code
        except UnavailableError:
            return 0

    return await eventually(answered, "the circuit closes")


async def test_answers_below_500_do_not_open_the_circuit() -> None:
    server = Server(httpx.Response(404))
    client = server.client()
    for _ in range(3 * FAILURES_BEFORE_OPEN):
        assert (await client.request("GET", "/", CALLER)).status_code == 404


async def test_a_client_of_one_service_does_not_suffer_from_another() -> None:
    broken, good = Server(httpx.Response(500)), Server(httpx.Response(200))
    client = broken.client()
    for _ in range(FAILURES_BEFORE_OPEN + 1):
        with pytest.raises(UnavailableError):
            await client.request("GET", "/", CALLER)
    assert (await good.client().request("GET", "/", CALLER)).status_code == 200


def service_token(server: Server) -> ServiceToken:
    http = httpx.AsyncClient(transport=httpx.MockTransport(server.answer))
    return ServiceToken(http, "http://users.example.com", "quartet-groups", "secret")


def granted(name: str, seconds: int) -> httpx.Response:
    return httpx.Response(200, json={"access_token": name, "token_type": "Bearer", "expires_in": seconds})


async def test_a_token_is_fetched_with_the_clients_own_credentials_and_kept() -> None:
    server = Server(granted("one", 3600), granted("two", 3600))
    tokens = service_token(server)
    assert [await tokens.get(), await tokens.get()] == ["one", "one"]
    [request] = server.requests
    assert (request.method, str(request.url)) == ("POST", "http://users.example.com/oauth2/token")
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.content == b"grant_type=client_credentials"


async def test_a_token_is_renewed_before_it_expires() -> None:
    server = Server(granted("one", 30), granted("two", 300), granted("three", 3600))
    tokens = service_token(server)
    assert [await tokens.get() for _ in range(4)] == ["one", "two", "two", "two"]


async def test_a_token_that_is_not_believed_is_replaced_but_not_at_each_call() -> None:
    server = Server(granted("one", 3600), granted("two", 3600), granted("three", 3600))
    tokens = service_token(server)
    assert await tokens.get() == "one"
    tokens.forget()
    assert await tokens.get() == "one", "it is as new as can be"
    tokens._got_at -= FRESH
    tokens.forget()
    assert await tokens.get() == "two"


class SlowUsers:
    """Gives tokens once it may, and counts how often it was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.was_asked = asyncio.Event()

    async def answer(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.was_asked.set()
        await self.may_answer.wait()
        return self.answers.pop(0)

    def token(self) -> ServiceToken:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return ServiceToken(http, "http://users.example.com", "quartet-groups", "secret")


async def test_many_calls_at_once_that_are_not_believed_fetch_one_token_for_all() -> None:
    users = SlowUsers(granted("old", 3600), *(granted("new", 3600) for _ in range(50)))
    tokens, together, forgotten = users.token(), asyncio.Barrier(50), list[bool]()
    users.may_answer.set()
    await tokens.get()
    users.may_answer.clear()
    tokens._got_at -= FRESH

    async def groups(request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] == "Bearer new":
            return httpx.Response(200)
        await together.wait()
        return httpx.Response(401)

    def forget() -> None:
        forgotten.append(True)
        tokens.forget()

    async def all_have_forgotten() -> bool:
        return len(forgotten) == 50

    http = httpx.AsyncClient(transport=httpx.MockTransport(groups))
    client = ServiceClient("groups", "http://groups.example.com", lambda: http, tokens.get, forget)
    calls = [asyncio.create_task(client.request("GET", "/", CALLER)) for _ in range(50)]
    await eventually(all_have_forgotten, "all calls are refused")
    users.may_answer.set()
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    assert users.asked == 2


async def test_one_who_waits_for_a_token_and_goes_does_not_take_it_from_the_others() -> None:
    users = SlowUsers(granted("one", 3600), granted("one too many", 3600))
    tokens = users.token()
    first, second = (asyncio.create_task(tokens.get()) for _ in range(2))
    await users.was_asked.wait()
    first.cancel()
    users.may_answer.set()
    assert await second == "one"
    assert users.asked == 1


async def test_a_token_that_is_not_given_is_told_to_all_who_wait_and_asked_for_again_later() -> None:
    users = SlowUsers(httpx.Response(503), granted("one", 3600))
    tokens = users.token()
    waiting = [asyncio.create_task(tokens.get()) for _ in range(3)]
    await users.was_asked.wait()
    users.may_answer.set()
    assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [httpx.HTTPStatusError] * 3
    assert (users.asked, await tokens.get()) == (1, "one")


async def test_a_call_without_a_token_to_be_had_is_unavailable() -> None:
    users = Server(httpx.Response(401))
    tokens = service_token(users)
    groups = Server(httpx.Response(200))
    http = httpx.AsyncClient(transport=httpx.MockTransport(groups.answer))
    client = ServiceClient("users", "http://users.example.com", lambda: http, tokens.get)
    with pytest.raises(UnavailableError):
        await client.request("GET", "/", CALLER)
    assert groups.requests == []
