"""Signing keys over HTTP: another one by command, by age and in an emergency; and what is published of them."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from quartet_common.auth.token_verifier import TokenVerifier
from quartet_common.core.clock import utc_now
from quartet_common.core.errors import UnauthorizedError
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_testing.clock import Clock
from quartet_testing.services import RunningService
from quartet_users.config import UsersConfig
from quartet_users.tokens import access_tokens, key_events, key_usecases
from quartet_users.tokens.key_domain import CLOCKS, PUBLISHED_FIRST, SWITCHING
from quartet_users.tokens.key_ring import KeyRing

LIFETIME = 600
OVER = PUBLISHED_FIRST + timedelta(seconds=LIFETIME) + CLOCKS + SWITCHING


@pytest.fixture
async def clock(users: RunningService) -> AsyncIterator[Clock]:
    """The clock of the service, and a first key of the test's own; what there was comes back at the end."""
    moved, before = Clock(), users.container.clock
    async with users.container.database.transaction() as connection:
        rows = await connection.fetch("SELECT * FROM signing_keys")
        await connection.execute("DELETE FROM signing_keys")
    users.container.clock = moved
    await ring(users).signing_pair()
    yield moved
    users.container.clock = before
    async with users.container.database.transaction() as connection:
        await connection.execute("DELETE FROM signing_keys")
        for row in rows:
            columns, places = ", ".join(row.keys()), ", ".join(f"${place}" for place, _ in enumerate(row, 1))
            await connection.execute(f"INSERT INTO signing_keys ({columns}) VALUES ({places})", *row.values())


def ring(users: RunningService, **options: Any) -> KeyRing:
    """The keys as a process of its own knows them."""
    config: UsersConfig = users.container.config
    secret = config.master_key.get_secret_value()
    return KeyRing(lambda: users.container.database, secret, users.container.clock, LIFETIME, **options)


@asynccontextmanager
async def anew(keys: KeyRing) -> AsyncIterator[KeyRing]:
    """`keys`, as if the time to look for new ones had come."""
    keys._loaded_at = float("-inf")  # no test waits for a time to pass
    yield keys


def operator(users: RunningService) -> dict[str, str]:
    return users.tokens.headers(SYSTEM_TENANT, ("platform:admin",), actor="operator")


async def rotate(users: RunningService, query: str = "") -> list[dict[str, Any]]:
    response = await users.client.post(f"/users/keys/rotate{query}", headers=operator(users))
    assert response.status_code == 200, await response.get_data()
    keys: list[dict[str, Any]] = (await response.get_json())["keys"]
    return keys


async def shown(users: RunningService) -> dict[str, str]:
    response = await users.client.get("/users/keys", headers=operator(users))
    return {one["id"]: one["state"] for one in (await response.get_json())["keys"]}


async def sign(users: RunningService, keys: KeyRing) -> str:
    grant = access_tokens.Grant("tester", "acme", frozenset({"users:read"}))
    return access_tokens.sign(grant, await keys.signing_pair(), users.container.config.issuer, utc_now(), LIFETIME)


async def test_a_new_key_is_published_at_once_signs_a_minute_later_and_the_old_one_verifies_its_last_token(
    users: RunningService, clock: Clock
) -> None:
    keys = ring(users)
    old = (await keys.signing_pair()).id
    token, verifier = await sign(users, keys), TokenVerifier(users.container.config.issuer, keys.find)
    new = (await rotate(users))[0]["id"]
    assert await shown(users) == {new: "next", old: "current"}
    async with anew(keys):
        assert [one["kid"] for one in await keys.published()] == [new, old]
    assert (await keys.signing_pair()).id == old
    clock.ahead = PUBLISHED_FIRST
    assert await shown(users) == {new: "current", old: "retired"}
    assert (await keys.signing_pair()).id == new, "by the clock, without a look into the database"
    assert (await verifier.verify(token)).tenant == "acme"
    clock.ahead = OVER - timedelta(seconds=5)
    assert await keys.find(old) is not None
    clock.ahead = OVER + timedelta(seconds=5)
    assert await keys.find(old) is None
    assert [one["kid"] for one in await keys.published()] == [new]
    await key_usecases.rotate_by_age(users.container)
    async with users.container.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM signing_keys") == 1


async def test_many_who_rotate_at_once_make_one_key(users: RunningService, clock: Clock) -> None:
    answers = await asyncio.gather(*(rotate(users) for _ in range(4)))
    assert len({answer[0]["id"] for answer in answers}) == 1
    assert sorted((await shown(users)).values()) == ["current", "next"]


async def test_in_an_emergency_the_new_key_signs_at_once_and_no_token_of_the_old_one_is_believed(
    users: RunningService, clock: Clock
) -> None:
    before = len(await users.outbox(SYSTEM_TENANT))
    forgotten: list[None] = []
    keys = ring(users, withdrawn=lambda: forgotten.append(None))
    verifier = TokenVerifier(users.container.config.issuer, keys.find)
    old, token = (await keys.signing_pair()).id, await sign(users, keys)
    await verifier.verify(token)
    [only] = await rotate(users, "?now=true")
    assert only["state"] == "current"
    async with anew(keys):
        await keys.refresh()
    assert forgotten
    verifier.forget()
    with pytest.raises(UnauthorizedError) as caught:
        await verifier.verify(token)
    assert caught.value.reason == "unknown_key"
    assert (await keys.signing_pair()).id == only["id"]
    [event] = (await users.outbox(SYSTEM_TENANT))[before:]
    assert (event.routing_key, event.actorid) == (key_events.KEY_ROTATED, "operator")
    assert (event.data["id"], event.data["withdrawn"]) == (only["id"], [old])


async def test_a_key_that_is_old_is_followed_by_another_and_a_young_one_is_not(
    users: RunningService, clock: Clock
) -> None:
    config: UsersConfig = users.container.config
    await key_usecases.rotate_by_age(users.container)
    assert list((await shown(users)).values()) == ["current"]
    clock.ahead = timedelta(days=config.key_lifetime)
    for _ in range(2):
        await key_usecases.rotate_by_age(users.container)
        assert list((await shown(users)).values()) == ["next", "current"]


async def test_only_the_platforms_administrator_sees_and_rotates_keys(users: RunningService, tenant: str) -> None:
    for headers, status in (({}, 401), (users.tokens.headers(tenant, ("tenant:admin",)), 403)):
        assert (await users.client.get("/users/keys", headers=headers)).status_code == status
        assert (await users.client.post("/users/keys/rotate", headers=headers)).status_code == status
    for query in ("?now=perhaps", "?when=now"):
        answer = await users.client.post(f"/users/keys/rotate{query}", headers=operator(users))
        assert (answer.status_code, (await answer.get_json(force=True))["code"]) == (400, "bad_parameter")
    text = await (await users.client.get("/users/keys", headers=operator(users))).get_data(as_text=True)
    assert '"d"' not in text
    assert '"x"' not in text


@pytest.mark.parametrize("path", ["jwks.json", "oauth-authorization-server"])
async def test_what_is_published_is_kept_for_a_minute_and_not_sent_again_to_who_has_it(
    users: RunningService, path: str
) -> None:
    first = await users.client.get(f"/.well-known/{path}")
    etag = first.headers["ETag"]
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "public, max-age=60")
    assert etag.startswith('"')
    for known, status in ((etag, 304), (f'"other", W/{etag}', 304), ("*", 304), ('"other"', 200)):
        again = await users.client.get(f"/.well-known/{path}", headers={"If-None-Match": known})
        assert (again.status_code, again.headers["ETag"]) == (status, etag)
        assert (await again.get_data() == b"") == (status == 304)


async def test_the_metadata_names_what_there_is_and_only_that(users: RunningService) -> None:
    document = await (await users.client.get("/.well-known/oauth-authorization-server")).get_json()
    issuer = users.container.config.issuer
    assert document["issuer"] == issuer
    rules = [rule.rule for rule in users.app.url_map.iter_rules()]
    routes = {rule for rule in rules if rule.startswith(("/oauth2/", "/.well-known/"))}
    named = {value.removeprefix(issuer) for name, value in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert named == routes - {"/.well-known/oauth-authorization-server"}
    assert document["service_documentation"].removeprefix(issuer) in {rule.rstrip("/") for rule in rules}
    secret = base64.b64encode(b"nobody:nothing").decode()
    headers = {"Authorization": f"Basic {secret}"}
    for grant in (*document["grant_types_supported"], "password"):
        answer = await users.client.post("/oauth2/token", headers=headers, form={"grant_type": grant})
        is_known = (await answer.get_json(force=True))["error"] != "unsupported_grant_type"
        assert is_known == (grant != "password")
    assert "service" not in document["scopes_supported"]
    assert document["response_types_supported"] == []
