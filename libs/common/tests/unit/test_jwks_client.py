"""Keys: when the users service is asked for them, and when it is not."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from quartet_common.auth.jwks_client import REFRESH_INTERVAL, UNKNOWN_INTERVAL, RemoteKeys
from quartet_common.core.errors import UnavailableError


class Users:
    """The users service's JWKS address."""

    def __init__(self) -> None:
        self.asked = 0
        self.unchanged = 0
        self.keys: dict[str, ECKey] = {"first": ECKey.generate_key("P-256")}
        self.status = 200
        self.body: Any = None
        self.now = 1000.0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await asyncio.sleep(0)
        etag = f'"{"-".join(self.keys)}"'
        headers = {"ETag": etag, "Cache-Control": "public, max-age=60"}
        if self.status == 200 and request.headers.get("If-None-Match") == etag:
            self.unchanged += 1
            return httpx.Response(304, headers=headers)
        listed = [{**key.as_dict(private=False), "kid": name} for name, key in self.keys.items()]
        return httpx.Response(self.status, json=self.body or {"keys": listed}, headers=headers)

    def remote(self, withdrawn: Callable[[], None] = lambda: None) -> RemoteKeys:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        url = "http://users.example.com/.well-known/jwks.json"
        return RemoteKeys(http, url, lambda: self.now, withdrawn)


@pytest.fixture
def users() -> Users:
    return Users()


async def test_a_published_key_is_found_and_asked_for_once(users: Users) -> None:
    remote = users.remote()
    found = await remote.find("first")
    assert found is not None
    assert found.thumbprint() == users.keys["first"].thumbprint()
    await remote.find("first")
    assert users.asked == 1


async def test_many_requests_at_the_start_ask_once(users: Users) -> None:
    remote = users.remote()
    found = await asyncio.gather(*(remote.find("first") for _ in range(50)))
    assert all(found)
    assert users.asked == 1


async def test_a_new_key_is_found_when_it_is_first_seen(users: Users) -> None:
    remote = users.remote()
    await remote.find("first")
    users.keys["second"] = ECKey.generate_key("P-256")
    users.now += UNKNOWN_INTERVAL + 0.1
    assert await remote.find("second") is not None


async def test_forged_key_ids_do_not_cause_a_call_each(users: Users) -> None:
    remote = users.remote()
    for number in range(100):
        assert await remote.find(f"forged-{number}") is None
    assert users.asked == 1


async def test_a_withdrawn_key_is_forgotten_after_a_while(users: Users) -> None:
    remote = users.remote()
    await remote.find("first")
    users.keys = {"second": ECKey.generate_key("P-256")}
    users.now += REFRESH_INTERVAL + 1
    assert await remote.find("first") is None


async def test_known_keys_go_on_while_the_users_service_is_away(users: Users) -> None:
    remote = users.remote()
    await remote.find("first")
    users.status = 503
    users.now += REFRESH_INTERVAL + 1
    assert await remote.find("first") is not None


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, {}), (200, {"keys": [{"kty": "EC"}]}), (200, {"no": "keys"}), (200, ["x"]), (200, "x")],
)
async def test_without_any_keys_it_is_unavailable_until_they_can_be_had(users: Users, status: int, body: Any) -> None:
    remote = users.remote()
    users.status, users.body = status, body
    with pytest.raises(UnavailableError) as error:
        await remote.find("first")
    assert error.value.server == "users"
    users.status, users.body = 200, None
    users.now += UNKNOWN_INTERVAL + 1
    assert await remote.find("first") is not None


async def test_while_there_are_no_keys_at_all_users_is_not_asked_by_every_request(users: Users) -> None:
    remote = users.remote()
    users.status = 503
    answers = await asyncio.gather(*(remote.find("first") for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {UnavailableError}
    assert users.asked == 1


async def test_the_keys_are_asked_for_again_before_anybody_has_to_wait_for_them(users: Users) -> None:
    remote = users.remote()
    await remote.refresh()
    assert users.asked == 1
    assert await remote.find("first") is not None
    assert users.asked == 1
    users.now += 29
    await remote.refresh()
    assert users.asked == 1
    users.keys["second"] = ECKey.generate_key("P-256")
    users.now += 2
    await remote.refresh()
    assert users.asked == 2
    assert await remote.find("second") is not None
    assert users.asked == 2


async def test_a_request_does_not_wait_because_users_was_not_there_when_the_service_started(users: Users) -> None:
    remote = users.remote()
    users.status = 503
    await remote.refresh()
    users.status = 200
    assert await remote.find("first") is not None
    assert users.asked == 2


async def test_who_has_them_already_is_not_sent_them_again_and_keeps_them(users: Users) -> None:
    remote = users.remote()
    await remote.find("first")
    users.now += 31
    await remote.refresh()
    assert users.unchanged == 1
    assert await remote.find("first") is not None


async def test_a_withdrawn_key_has_what_it_signed_forgotten_and_a_new_one_has_not(users: Users) -> None:
    forgotten: list[None] = []
    remote = users.remote(lambda: forgotten.append(None))
    await remote.find("first")
    users.keys["second"] = ECKey.generate_key("P-256")
    users.now += 31
    await remote.refresh()
    assert not forgotten
    del users.keys["first"]
    users.now += 31
    await remote.refresh()
    assert len(forgotten) == 1
    assert await remote.find("first") is None


async def test_while_users_is_away_what_is_known_stays_and_nothing_is_forgotten(users: Users) -> None:
    forgotten: list[None] = []
    remote = users.remote(lambda: forgotten.append(None))
    await remote.find("first")
    users.status = 503
    users.now += 31
    await remote.refresh()
    assert not forgotten
    assert await remote.find("first") is not None
