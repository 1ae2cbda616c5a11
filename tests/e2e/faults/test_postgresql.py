"""PostgreSQL goes away: 503 with Retry-After at once, and everything recovers by itself."""

import asyncio
from functools import partial

import pytest

from quartet_cli.stack import Stack
from quartet_testing.bursts import Burst, arrived_exactly_once
from quartet_testing.client import GROUPS, USERS, Api, group_document, user_document
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import paused, pids, stopped
from quartet_testing.stopwatch import stopwatch

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

SERVICES = ("users", "groups", "audit", "metrics")
WORKERS = tuple(f"{service}-worker" for service in SERVICES)
AT_ONCE = 1.0
"""Seconds within which the answer must be there."""
WITHOUT_AN_ANSWER = 2.0
"""Seconds within which a request that waits for a PostgreSQL that stands still is answered."""
REQUESTS = [
    ("GET", USERS, None),
    ("POST", USERS, user_document()),
    ("GET", GROUPS, None),
    ("POST", GROUPS, group_document()),
    ("GET", "/audit/events", None),
    ("GET", "/metrics/query?metric=events", None),
    ("GET", "/users/data/export", None),
]


async def test_without_postgresql_every_service_says_so_within_a_second_and_recovers_by_itself(
    api: Api, stack: Stack
) -> None:
    users = await Burst(api, 20).done()
    before = pids(stack)
    async with stopped(stack, "postgres"):
        for method, path, body in REQUESTS * 2:
            async with stopwatch() as watch:
                answer = await api.request(method, path, json=body)
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1"), (method, path, answer.text)
            assert watch.seconds < AT_ONCE, f"{method} {path} took {watch.seconds:.2f} s"
        for service in SERVICES:
            async with stopwatch() as watch:
                ready = await api.get(f"/{service}/health/ready")
            assert (ready.status_code, ready.json()["down"]) == (503, ["postgresql"])
            assert watch.seconds < AT_ONCE
            assert (await api.get(f"/{service}/health/live")).status_code == 200
    for method, path, body in REQUESTS:
        await eventually(partial(is_answered, api, method, path, body), f"{method} {path}", PATIENCE)
    await api.delete(f"{USERS}/{users.pop()['id']}")
    after = pids(stack)
    assert {name for name in before if before[name] != after.get(name)} == {"postgres"}


async def is_answered(api: Api, method: str, path: str, body: object) -> bool:
    """Whether the request succeeds, or is refused for what it asks."""
    return (await api.request(method, path, json=body)).status_code < 500


async def test_events_that_were_under_way_when_postgresql_stopped_arrive_exactly_once(api: Api, stack: Stack) -> None:
    users = await Burst(api, 100).done()  # most of them are still somewhere between outbox, queue and log
    async with stopped(stack, "postgres"):
        assert (await api.get(USERS)).status_code == 503
    await eventually(lambda: is_answered(api, "GET", USERS, None), "users to answer", PATIENCE)
    await arrived_exactly_once(api, users)


async def test_writes_during_a_stop_of_postgresql_are_published_if_and_only_if_they_were_committed(
    api: Api, stack: Stack
) -> None:
    async def write() -> list[int]:
        return [(await api.post(USERS, json=user_document())).status_code for _ in range(60)]

    writing = asyncio.gather(*(write() for _ in range(4)))
    await eventually(lambda: has_users(api), "the first users", PATIENCE)
    async with stopped(stack, "postgres"):
        answers = [status for some in await writing for status in some]
    assert set(answers) == {201, 503}
    await eventually(lambda: is_answered(api, "GET", USERS, None), "users to answer", PATIENCE)
    users = await everybody(api)
    assert len(users) >= answers.count(201)
    await arrived_exactly_once(api, users)


async def has_users(api: Api) -> bool:
    """Whether there are any."""
    return bool((await api.get(USERS, params={"count": 0})).json()["totalResults"])


async def everybody(api: Api) -> list[dict[str, object]]:
    """All users of the tenant."""
    found: list[dict[str, object]] = []
    while True:
        page = (await api.get(USERS, params={"startIndex": len(found) + 1, "count": 200})).json()
        found += page.get("Resources", [])
        if len(found) >= page["totalResults"]:
            return found


async def test_a_paused_postgresql_is_a_503_and_writes_that_were_committed_are_published(
    api: Api, stack: Stack
) -> None:
    await Burst(api, 10).done()
    for method, path, body in REQUESTS:  # the keys of tokens are there then: without, users would be named
        await eventually(partial(is_answered, api, method, path, body), f"{method} {path}", PATIENCE)
    before = pids(stack)
    seconds = []
    async with paused(stack, "postgres"):
        for requests in ([("POST", USERS, user_document())] * 20, REQUESTS, REQUESTS):
            async with stopwatch() as watch:
                sent = (api.request(method, path, json=body) for method, path, body in requests)
                answers = await asyncio.gather(*sent)
            seconds.append(watch.seconds)
            for (method, path, _), answer in zip(requests, answers, strict=True):
                assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1"), (
                    method,
                    path,
                    answer.text,
                )
                assert "postgresql" in answer.text, (method, path, answer.text)
        ready = await api.get("/users/health/ready")
        assert (ready.status_code, ready.json()["down"]) == (503, ["postgresql"])
    await eventually(lambda: is_answered(api, "GET", USERS, None), "users to answer", PATIENCE)
    if seconds[0] >= WITHOUT_AN_ANSWER:  # other work on this machine may have delayed the processes of the stack
        async with paused(stack, "postgres"), stopwatch() as watch:
            assert (await api.get(USERS)).status_code == 503
        seconds[0] = watch.seconds
        await eventually(lambda: is_answered(api, "GET", USERS, None), "users to answer", PATIENCE)
    assert max(seconds) < WITHOUT_AN_ANSWER
    await arrived_exactly_once(api, await everybody(api))
    assert pids(stack) == before
