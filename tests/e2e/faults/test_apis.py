"""An api stops in the middle of requests: what it has accepted is answered, what it has not can be sent again."""

import asyncio

import pytest

from quartet_cli.health import connects
from quartet_cli.stack import Stack
from quartet_testing.bursts import arrived_exactly_once
from quartet_testing.client import USERS, Api, Document, user_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import database, pid, replaced, somebody_waits

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

API = "users-api"


async def test_a_request_that_was_accepted_before_the_end_is_answered(api: Api, stack: Stack) -> None:
    old = pid(stack, API)
    async with database(stack, "users") as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE users IN SHARE MODE")
            sent = asyncio.create_task(api.post(USERS, json=user_document()))
            await somebody_waits(connection, "INSERT INTO users")
            stack.kill(API, "TERM")
            await eventually(lambda: takes_nothing_new(stack), "the api to take nothing new")
        answer = await sent
    assert answer.status_code == 201, answer.text
    await replaced(stack, API, old)
    assert (await api.get(f"{USERS}/{answer.json()['id']}")).status_code == 200
    await arrived_exactly_once(api, [answer.json()])


async def takes_nothing_new(stack: Stack) -> bool:
    """Whether the api's port is closed."""
    return await asyncio.to_thread(connects, stack.state.ports[API]) is not None


async def test_an_api_that_stops_under_load_makes_exactly_what_it_has_answered_for(api: Api, stack: Stack) -> None:
    old = pid(stack, API)
    made: list[Document] = []
    refused: list[int] = []
    enough = asyncio.Event()

    async def write() -> None:
        while not enough.is_set():
            answer = await api.post(USERS, json=user_document())
            if answer.status_code == 201:
                made.append(answer.json())
            else:
                assert answer.headers["Retry-After"] == "1", answer.text
                refused.append(answer.status_code)
                await asyncio.to_thread(connects, stack.state.ports[API])  # gives others a turn

    writing = asyncio.gather(*(write() for _ in range(6)))
    await eventually(lambda: at_least(made, 30), "the first users")
    stack.kill(API, "TERM")
    await replaced(stack, API, old)
    after = len(made)
    await eventually(lambda: at_least(made, after + 10), "users after the restart")
    enough.set()
    await writing
    assert set(refused) <= {502, 503}
    total = (await api.get(USERS, params={"count": 0})).json()["totalResults"]
    assert total == len(made)
    await arrived_exactly_once(api, made)


async def at_least(found: list[Document], number: int) -> bool:
    """Whether there are so many."""
    return len(found) >= number
