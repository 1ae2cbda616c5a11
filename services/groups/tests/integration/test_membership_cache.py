"""The cache of answers on the real Redis: what it keeps, and that nothing in it can make an answer wrong."""

from typing import Any

import pytest

from quartet_groups.membership_cache import AnswerCache
from quartet_testing.conditions import eventually

GARBAGE = (b"", b"\0" * 40, b'[{"member":true}]', b"x" * 5_000_000)


async def kept(own: Any) -> list[bytes]:
    """The keys of the tenant's answers."""
    found: list[bytes] = await own.service.container.redis.keys(f"groups/{own.tenant}/*")
    return found


async def asked_until_kept(own: Any, user: object, group: object) -> None:
    """Have the answer in Redis."""

    async def probe() -> bool:
        await own.check(user, group)
        return bool(await kept(own))

    await eventually(probe, "the answer to be kept")


async def test_what_is_asked_once_is_not_kept_and_what_is_asked_again_comes_from_redis(
    own: Any, directory: Any
) -> None:
    user = directory.add(own.tenant)
    group = await own.make(user, name="team")
    await own.check(user, group)
    assert await kept(own) == []
    await asked_until_kept(own, user, group)
    [key] = await kept(own)
    assert 0 < await own.service.container.redis.ttl(key) <= 60
    answer = await own.service.container.redis.get(key)
    other = answer.replace(b"team", b"TEAM")  # as long as before, so that only the digest tells
    await own.service.container.redis.set(key, other)
    assert await own.check(user, group) == (True, True, ["team"]), "what was not kept so is not believed"


async def test_an_answer_that_is_kept_is_given_without_another_walk(
    own: Any, directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = directory.add(own.tenant)
    group = await own.make(user)
    await asked_until_kept(own, user, group)
    before = await own.asked("check", user=str(user), group=str(group))
    monkeypatch.delattr("quartet_groups.graph_store.read_graph")
    assert await own.asked("check", user=str(user), group=str(group)) == before


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_redis_is_no_answer(own: Any, directory: Any, garbage: bytes) -> None:
    user, stranger = directory.add(own.tenant), directory.add(own.tenant)
    group = await own.make(user)
    await asked_until_kept(own, user, group)
    for key in await kept(own):
        await own.service.container.redis.set(key, garbage)
    assert await own.check(user, group) == (True, True, ["g"])
    assert await own.check(stranger, group) == (False, False, [])


async def test_an_answer_under_the_key_of_another_is_not_believed(own: Any, directory: Any) -> None:
    user, stranger = directory.add(own.tenant), directory.add(own.tenant)
    group = await own.make(user)
    await asked_until_kept(own, user, group)
    [members] = await kept(own)
    for _ in range(2):
        await own.check(stranger, group)

    async def both() -> bool:
        return len(await kept(own)) == 2

    await eventually(both, "the other answer")
    redis = own.service.container.redis
    for key in await kept(own):
        await redis.set(key, await redis.get(members))
    assert await own.check(stranger, group) == (False, False, [])


async def test_everything_that_an_answer_tells_changes_the_version(own: Any, directory: Any) -> None:
    user = directory.add(own.tenant)
    inner = await own.make(user, name="inner")
    outer = await own.make(inner, name="outer")

    async def asked() -> tuple[Any, Any]:
        for _ in range(3):  # the last is answered from the cache
            found = await own.check(user, outer), await own.groups_of(user)
        return found

    assert await asked() == ((True, False, ["inner", "outer"]), {inner: True, outer: False})
    document = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "renamed"}
    members = [{"value": str(user)}]
    answer = await own.service.client.put(
        f"/scim/v2/Groups/{inner}", headers=own.headers, json={**document, "members": members}
    )
    assert answer.status_code == 200
    assert await asked() == ((True, False, ["renamed", "outer"]), {inner: True, outer: False})
    await own.patch(outer, "add", user)
    assert await asked() == ((True, True, ["outer"]), {inner: True, outer: True})
    assert await own.delete(inner) == 204
    assert await asked() == ((True, True, ["outer"]), {outer: True})
    await own.patch(outer, "remove")
    assert await asked() == ((False, False, []), {})


async def test_a_write_that_changes_no_membership_leaves_the_version(own: Any, directory: Any) -> None:
    user = directory.add(own.tenant)
    group = await own.make(user)

    async def version() -> Any:
        async with own.service.container.database.connection() as connection:
            query = "SELECT sum(version) FROM membership_versions WHERE tenant_id = $1"
            return await connection.fetchval(query, own.tenant)

    before = await version()
    await own.make()
    await own.patch(group, "add", user)
    assert await version() == before
    await own.patch(group, "remove", user)
    assert await version() == before + 1


async def test_a_redis_that_is_away_is_not_asked_each_time(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def away(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise TimeoutError

    cache = AnswerCache(own.service.container)
    monkeypatch.setattr(own.service.container.redis, "get", away)
    for _ in range(10):
        assert await cache.find(own.tenant, 1, b"question") is None
    assert asked == 1


async def test_look_ups_are_counted_as_hits_and_misses(own: Any) -> None:
    cache = AnswerCache(own.service.container)
    counts = own.service.container.caches[-1]
    assert await cache.find(own.tenant, 1, b"question") is None
    assert (counts.hits, counts.misses) == (0, 1)
    cache.keep(own.tenant, 1, b"question", b"answer")

    async def is_found() -> bool:
        return await cache.find(own.tenant, 1, b"question") == b"answer"

    await eventually(is_found, "the answer is in the cache")
    assert counts.hits == 1
