"""Introspection: when users is asked about an opaque token, when it is not, and what holds while it is away."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from quartet_common.auth import introspection
from quartet_common.auth.introspection import (
    BURST,
    KEPT_TOKENS,
    OUTAGE_LIFETIME,
    OUTAGE_RETRY_INTERVAL,
    PAUSE,
    RATE,
    REFRESH_INTERVAL,
    TOTAL_BURST,
    UNKNOWN_KEPT,
    RemoteTokens,
)
from quartet_common.auth.opaque_tokens import REFRESH_TOKEN, SCIM_TOKEN, make
from quartet_common.auth.token_verifier import LEEWAY, MAX_TOKEN_LENGTH, TokenVerifier
from quartet_common.core.errors import UnauthorizedError, UnavailableError
from quartet_testing.tokens import TokenFactory


class Users:
    """The users service's introspection address, and a clock."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.credentials = ""
        self.answer: httpx.Response | Exception | None = None
        self.slow = asyncio.Event()
        self.slow.set()
        self.question = asyncio.Event()
        self.remote = RemoteTokens(
            httpx.AsyncClient(transport=httpx.MockTransport(self.introspect)),
            "http://users.example.com/",
            "quartet-groups",
            "secret",
            lambda: self.now,
        )
        self.verifier = TokenVerifier(
            "https://id.example.com",
            TokenFactory("https://id.example.com").find_key,
            lambda: self.now,
            find_opaque=self.remote.find,
            revoked=lambda who: "revoked" if who.token_id in self.revoked else None,
        )
        self.revoked: set[str] = set()

    def token(self, tenant: str = "acme", **changes: Any) -> str:
        made = make(SCIM_TOKEN, tenant)
        self.tokens[made] = {
            "active": True,
            "tenant": tenant,
            "sub": "scim-token/7",
            "client_id": "scim-token/7",
            "scope": "users:read groups:read",
            "jti": "7",
            "token_type": "Bearer",
            **changes,
        }
        return made

    async def introspect(self, sent: httpx.Request) -> httpx.Response:
        assert (sent.method, str(sent.url)) == ("POST", "http://users.example.com/oauth2/introspect")
        [token] = parse_qs(sent.content.decode())["token"]
        self.credentials = sent.headers["Authorization"]
        self.asked.append(token)
        self.question.set()
        await self.slow.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or httpx.Response(200, json=self.tokens.get(token, {"active": False}))

    async def refused(self, token: str) -> str:
        with pytest.raises(UnauthorizedError) as caught:
            await self.verifier.verify(token)
        return caught.value.reason


@pytest.fixture
async def users() -> Users:
    return Users()


async def test_a_token_is_asked_about_once_a_minute(users: Users) -> None:
    token = users.token()
    found = await users.remote.find(token)
    assert found is not None
    assert (found.tenant, found.actor, found.client_id, found.token_id) == ("acme", "scim-token/7", "scim-token/7", "7")
    assert found.scopes == {"users:read", "groups:read"}
    assert not found.is_person
    assert found.expires_at == int(users.now) + REFRESH_INTERVAL
    users.now += REFRESH_INTERVAL - 1
    assert await users.remote.find(token) == found
    assert users.asked == [token]
    users.now += 1
    await users.remote.find(token)
    assert users.asked == [token, token]
    assert users.credentials.startswith("Basic ")


@pytest.mark.parametrize(("name", "kept"), [("Okta\n", "Okta"), ("x" * 200, "x" * 128), ("", None)])
async def test_the_name_of_a_token_is_that_of_its_actor(users: Users, name: str, kept: str | None) -> None:
    found = await users.remote.find(users.token(client_name=name))
    assert found is not None
    assert (found.actor_name, found.actor_type) == (kept, "client")


async def test_the_verifier_does_not_ask_for_a_token_that_it_has_seen(users: Users) -> None:
    token = users.token()
    for _ in range(3):
        await users.verifier.verify(token)
        users.now += REFRESH_INTERVAL / 3
    assert len(users.asked) == 1
    users.now += LEEWAY
    await users.verifier.verify(token)
    assert len(users.asked) == 2


async def test_a_token_that_ends_sooner_is_known_until_then(users: Users) -> None:
    token = users.token(exp=int(users.now) + 20)
    found = await users.remote.find(token)
    assert found is not None
    assert found.expires_at == int(users.now) + 20
    users.now += 20
    assert await users.remote.find(token) is None


async def test_a_token_that_was_revoked_is_nobodys_when_it_is_asked_about_again(users: Users) -> None:
    token = users.token()
    await users.remote.find(token)
    users.tokens.clear()
    users.now += REFRESH_INTERVAL
    assert await users.remote.find(token) is None


async def test_a_revocation_holds_at_once_and_causes_no_questions(users: Users) -> None:
    token = users.token()
    await users.verifier.verify(token)
    users.revoked.add("7")
    assert {await users.refused(token) for _ in range(5)} == {"revoked"}
    assert len(users.asked) == 1
    users.tokens.clear()
    users.now += REFRESH_INTERVAL + LEEWAY
    assert {await users.refused(token) for _ in range(5)} == {"unknown_token"}
    assert len(users.asked) == 2


async def test_what_is_nobodys_is_not_asked_about_again_for_a_while(users: Users) -> None:
    token = make(SCIM_TOKEN, "acme")
    for _ in range(5):
        assert await users.refused(token) == "unknown_token"
    assert users.asked == [token]
    users.now += UNKNOWN_KEPT
    assert await users.refused(token) == "unknown_token"
    assert len(users.asked) == 2


@pytest.mark.parametrize(
    "token",
    [
        SCIM_TOKEN,
        SCIM_TOKEN + "x" * MAX_TOKEN_LENGTH,
        SCIM_TOKEN + "a" * MAX_TOKEN_LENGTH * 2,
        make(SCIM_TOKEN, "acme")[:-1],
        make(SCIM_TOKEN, "acme")[:-6] + "AAAAAA",
        make(SCIM_TOKEN, "acme") + "é",
        SCIM_TOKEN + "acmé_" + "a" * 49,
        make(REFRESH_TOKEN, "acme"),
    ],
    ids=["empty", "long", "longer", "cut", "checksum", "longer-by-one", "letters", "refresh"],
)
async def test_what_was_never_made_is_refused_without_a_question(users: Users, token: str) -> None:
    assert await users.refused(token) in {"malformed", "too_long"}
    assert users.asked == []
    assert await users.remote.find(token) is None
    assert users.asked == []


async def test_many_who_bring_a_token_at_once_ask_once(users: Users) -> None:
    token, other = users.token(), users.token()
    users.slow.clear()
    asked = [asyncio.ensure_future(users.remote.find(one)) for one in [token] * 20 + [other] * 20]
    await asyncio.sleep(0)
    users.slow.set()
    assert all(await asyncio.gather(*asked))
    assert sorted(users.asked) == sorted([token, other])


async def test_one_who_has_gone_does_not_take_the_answer_from_the_others(users: Users) -> None:
    token = users.token()
    users.slow.clear()
    gone, stays = (asyncio.ensure_future(users.remote.find(token)) for _ in range(2))
    await users.question.wait()
    gone.cancel()
    users.slow.set()
    assert await stays is not None
    assert len(users.asked) == 1


AWAY = [
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    httpx.Response(503),
    httpx.Response(401, json={"error": "invalid_client"}),
    httpx.Response(429),
    httpx.Response(200, content=b"<html>"),
    httpx.Response(200, json=[]),
    httpx.Response(200, json={"active": "yes"}),
]


@pytest.mark.parametrize("answer", AWAY)
async def test_while_users_is_away_an_answer_goes_on_for_ten_minutes(users: Users, answer: Any) -> None:
    token = users.token()
    asked_at = users.now
    await users.verifier.verify(token)
    answered, users.answer = users.answer, _requested(answer)
    users.now += REFRESH_INTERVAL + LEEWAY
    for _ in range(3):
        assert (await users.verifier.verify(token)).actor == "scim-token/7"
    users.now += PAUSE * 2
    assert await users.remote.find(token) is not None
    assert len(users.asked) == 2  # not one question for each request, nor for each pause
    users.now = asked_at + OUTAGE_LIFETIME - 1
    assert (await users.verifier.verify(token)).expires_at <= asked_at + OUTAGE_LIFETIME
    users.now = asked_at + OUTAGE_LIFETIME + LEEWAY
    with pytest.raises(UnavailableError):
        await users.verifier.verify(token)
    users.answer = answered
    users.now += PAUSE
    assert (await users.verifier.verify(token)).actor == "scim-token/7"


async def test_while_users_is_away_a_token_does_not_outlive_its_end_nor_its_revocation(users: Users) -> None:
    ending, revoked = (
        users.token(exp=int(users.now) + REFRESH_INTERVAL + OUTAGE_RETRY_INTERVAL // 2),
        users.token(jti="8"),
    )
    for token in (ending, revoked):
        await users.verifier.verify(token)
    users.answer = httpx.ConnectError("refused")
    users.now += REFRESH_INTERVAL
    found = await users.remote.find(ending)
    assert found is not None
    assert found.expires_at == int(users.now) + OUTAGE_RETRY_INTERVAL // 2
    users.revoked.add("8")
    assert await users.refused(revoked) == "revoked"
    users.now += OUTAGE_RETRY_INTERVAL
    with pytest.raises(UnavailableError):
        await users.remote.find(ending)


async def test_while_users_is_away_what_is_not_known_is_unavailable_and_asks_seldom(users: Users) -> None:
    users.answer = httpx.ConnectError("refused")
    for _ in range(20):
        with pytest.raises(UnavailableError) as caught:
            await users.remote.find(users.token())
        assert caught.value.server == "users"
    assert len(users.asked) == 1
    users.answer = None
    users.now += PAUSE
    assert await users.remote.find(users.token()) is not None


async def test_a_question_is_given_up_after_a_while(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "TIMEOUT", 0.01)
    users.slow.clear()
    with pytest.raises(UnavailableError):
        await users.remote.find(users.token())


async def test_random_tokens_do_not_cause_a_question_each(users: Users) -> None:
    known = users.token()
    await users.remote.find(known)
    refused = 0
    for _ in range(int(BURST) * 3):
        try:
            assert await users.remote.find(make(SCIM_TOKEN, "acme")) is None
        except UnavailableError:
            refused += 1
    assert len(users.asked) == BURST
    assert refused == BURST * 2 + 1
    users.now += REFRESH_INTERVAL
    assert await users.remote.find(known) is not None  # who is known is not shut out by who is not
    for _ in range(int(BURST)):
        await users.remote.find(make(SCIM_TOKEN, "acme"))
    users.now += 1
    for _ in range(int(RATE)):
        await users.remote.find(make(SCIM_TOKEN, "acme"))
    with pytest.raises(UnavailableError):
        await users.remote.find(make(SCIM_TOKEN, "acme"))


async def spend(users: Users, tenant: str, number: int) -> int:
    """How many of so many questions about tokens that nobody has are refused."""
    refused = 0
    for _ in range(number):
        try:
            assert await users.remote.find(make(SCIM_TOKEN, tenant)) is None
        except UnavailableError:
            refused += 1
    return refused


async def test_junk_in_the_name_of_one_tenant_leaves_the_others_their_questions(users: Users) -> None:
    assert await spend(users, "acme", int(BURST) * 3) == BURST * 2
    assert await users.remote.find(users.token("other")) is not None


async def test_junk_in_the_name_of_invented_tenants_leaves_real_ones_theirs(users: Users) -> None:
    await users.remote.find(users.token("acme"))
    refused = [await spend(users, f"invented-{number}", 20) for number in range(int(TOTAL_BURST) // 20 + 2)]
    assert sum(refused) >= 20, "all of them together have a bound"
    assert await users.remote.find(users.token("acme")) is not None
    assert await spend(users, "late", 1) == 1


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT_TOKENS >= 1000
    monkeypatch.setattr(introspection, "KEPT_TOKENS", 3)
    users = Users()
    tokens = [users.token() for _ in range(5)]
    for token in tokens:
        await users.remote.find(token)
    users.asked.clear()
    for token in reversed(tokens):
        await users.remote.find(token)
    assert users.asked == [tokens[1], tokens[0]]
    users.asked.clear()
    unknown = [make(SCIM_TOKEN, "acme") for _ in range(5)]
    for token in (*unknown, *reversed(unknown)):
        await users.remote.find(token)
    assert len(users.asked) == 7


@pytest.mark.parametrize(
    "changes", [{"tenant": "globex"}, {"tenant": ""}, {"active": False}, {"exp": 0}, {"exp": 1_799_999_999}]
)
async def test_an_answer_that_does_not_fit_the_token_is_none(users: Users, changes: dict[str, Any]) -> None:
    token = users.token()
    users.tokens[token] |= changes
    assert await users.remote.find(token) is None


async def test_no_token_is_held_or_logged(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    token, other = users.token(), users.token()
    await users.remote.find(token)
    users.answer = httpx.ConnectError("refused")
    with pytest.raises(UnavailableError):
        await users.remote.find(other)
    assert "token introspection failed" in caplog.text
    text = caplog.text + repr(vars(users.remote)) + repr([vars(record) for record in caplog.records])
    assert token not in text
    assert other not in text


def _requested(answer: Any) -> Any:
    if isinstance(answer, httpx.Response):
        answer.request = httpx.Request("POST", "http://users.example.com/oauth2/introspect")
    return answer
