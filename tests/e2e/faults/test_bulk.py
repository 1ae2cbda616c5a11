"""Servers go away while a Bulk runs: what was done keeps its result, and what was not says so."""

import asyncio

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import USERS, Api, Document, bulk_document, group_document, unique, user_document
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import database, stopped

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

BULK = "/scim/v2/Bulk"


def user(**attributes: object) -> Document:
    """A user to make."""
    return {"method": "POST", "path": "/Users", "bulkId": unique("u"), "data": user_document(**attributes)}


def group() -> Document:
    """A group to make."""
    return {"method": "POST", "path": "/Groups", "bulkId": unique("g"), "data": group_document()}


async def test_without_groups_its_operations_are_503_and_users_are_made(api: Api, stack: Stack) -> None:
    async with stopped(stack, "groups-api"):
        answer = await api.post(BULK, json=bulk_document(user(), group(), user(), group()))
    results = answer.json()["Operations"]
    assert (answer.status_code, [one["status"] for one in results]) == (200, ["201", "503", "201", "503"])
    for one in results[::2]:
        assert (await api.get(one["location"])).status_code == 200


@pytest.mark.slow
async def test_when_postgresql_goes_away_in_the_middle_results_say_what_is_there(api: Api, stack: Stack) -> None:
    """Passwords make a set slow; once the first set can be seen, PostgreSQL is stopped."""
    operations = [user(), *(user(password=unique("secret")) for _ in range(500))]
    first, names = operations[0]["data"]["userName"], [one["data"]["userName"] for one in operations]
    sending = asyncio.ensure_future(api.post(BULK, json=bulk_document(*operations), timeout=60))

    async def begun() -> bool:
        answer = await api.get(USERS, params={"filter": f'userName eq "{first}"'})
        return bool(answer.json().get("totalResults") == 1)

    await eventually(begun, "the first set to be stored", PATIENCE)
    async with stopped(stack, "postgres"):
        answer = await sending
    results = answer.json()["Operations"]
    assert answer.status_code == 200
    made = {name for name, one in zip(names, results, strict=True) if one["status"] == "201"}
    left = {name for name, one in zip(names, results, strict=True) if one["status"] == "503"}
    assert (len(made) + len(left), bool(made), bool(left)) == (len(names), True, True)

    async def stored() -> set[str]:
        async with database(stack, "users") as connection:
            rows = await connection.fetch(
                "SELECT resource ->> 'userName' AS name FROM users WHERE resource ->> 'userName' = ANY($1::text[])",
                names,
            )
        return {row["name"] for row in rows}

    assert await stored() == made
