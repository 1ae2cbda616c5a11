"""Spellings of one userName over HTTP: one account, wherever names are compared (RFC 7644 section 5)."""

import unicodedata
from typing import Any

import pytest

from quartet_testing.client import USER, USERS, Document
from quartet_testing.people import PASSWORD, People
from quartet_users.users import name_keys

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
NFC, NFD = "Ren\u00e9@example.com", unicodedata.normalize("NFD", "ren\u00e9@example.com")
SPELLINGS = [
    (NFC, NFD),
    (NFD, NFC.upper()),
    ("\uff41\uff42\uff43", "abc"),
    ("ABC", "\uff41\uff42\uff43"),
    ("\u03bf\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3"),
    ("\u03bf\u03b4\u03cc\u03c3", "\u03bf\u03b4\u03cc\u03c2"),
]


async def send(people: People, method: str, path: str, body: Document) -> tuple[int, Document]:
    response = await people.users.client.open(path, method=method, headers=people.headers, json=body)
    return response.status_code, await response.get_json(force=True)


async def create(people: People, name: str, password: str = PASSWORD) -> Document:
    body = {"schemas": [USER], "userName": name, "password": password}
    status, made = await send(people, "POST", USERS, body)
    assert (status, made.get("userName")) == (201, name), "a name is shown as it was sent"
    return made


async def found(people: People, text: str, **query: str) -> list[str]:
    """The names that a filter finds, in order."""
    asked = {"filter": text, **query}
    response = await people.users.client.get(USERS, headers=people.headers, query_string=asked)
    page = await response.get_json(force=True)
    assert page["totalResults"] == len(page["Resources"])
    return [one["userName"] for one in page["Resources"]]


@pytest.mark.parametrize(("name", "other"), SPELLINGS)
async def test_another_spelling_of_a_name_is_the_same_account(people: People, name: str, other: str) -> None:
    made = await create(people, name)
    for clash in (name, other):
        status, answer = await send(people, "POST", USERS, {"schemas": [USER], "userName": clash})
        assert (status, answer["scimType"]) == (409, "uniqueness")
    assert [(await people.try_login(one))[0] for one in (name, other)] == [200, 200]
    for text in (f'userName eq "{other}"', f'userName sw "{other[:2]}"', f'userName co "{other[1:]}"'):
        assert await found(people, text) == [name]
    assert await found(people, f'userName ne "{other}" or userName gt "{other}"') == []
    renamed = {"schemas": [USER], "userName": other}
    status, answer = await send(people, "PUT", f"{USERS}/{made['id']}", renamed)
    assert (status, answer["userName"], answer["meta"]["version"]) == (200, other, 'W/"2"')


async def test_two_spellings_in_one_bulk_are_one_name(people: People) -> None:
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": name, "data": {"schemas": [USER], "userName": name}}
        for name in (NFC, NFD, "\uff41", "A")
    ]
    _, answer = await send(people, "POST", "/scim/v2/Bulk", {"schemas": [BULK], "Operations": operations})
    assert [one["status"] for one in answer["Operations"]] == ["201", "409", "201", "409"]


async def test_a_user_cannot_be_renamed_to_another_spelling_of_a_name_that_is_taken(people: People) -> None:
    await create(people, NFC)
    other = await create(people, "other")
    operation = {"op": "replace", "path": "userName", "value": NFD}
    body = {"schemas": [PATCH], "Operations": [operation]}
    status, answer = await send(people, "PATCH", f"{USERS}/{other['id']}", body)
    assert (status, answer["scimType"]) == (409, "uniqueness")


async def test_names_are_sorted_by_the_form_that_is_compared(people: People) -> None:
    names = ["\uff43", "b", "\uff21", "D"]
    for name in names:
        await create(people, name)
    assert await found(people, "userName pr", sortBy="userName") == ["\uff21", "b", "\uff43", "D"]


async def test_all_spellings_of_a_name_share_one_lock_out(people: People) -> None:
    await create(people, NFC)

    async def guess(name: str) -> Any:
        return (await people.try_login(name, "a wrong guess"))[0]

    assert [await guess(name) for name in (NFC, NFD, NFC.upper(), NFD.upper(), NFC, NFD)] == [401] * 5 + [429]


async def test_two_users_whose_names_became_equal_both_stay_and_can_be_told_apart(people: People) -> None:
    first = await create(people, NFC, f"{PASSWORD} 1")
    second = await create(people, "second", f"{PASSWORD} 2")
    async with people.users.container.database.transaction() as connection:  # as the release before stored it
        await connection.execute(
            "UPDATE users SET user_name_key = $2, resource = resource || jsonb_build_object('userName', $2::text)"
            " WHERE id::text = $1",
            second["id"],
            NFD,
        )
        await connection.execute("INSERT INTO unprepared_names SELECT $1, $2::text::uuid", people.tenant, second["id"])
    async with people.users.container.database.connection() as connection:
        await name_keys.prepare_all(connection)
    for name, number in ((NFC, 1), (NFC.upper(), 1), (NFD, 2), (NFD.upper(), 2)):
        assert [(await people.try_login(name, f"{PASSWORD} {one}"))[0] == 200 for one in (1, 2)] == [
            number == 1,
            number == 2,
        ]
    assert (await found(people, f'userName eq "{NFC}"'), await found(people, f'userName eq "{NFD}"')) == (
        [NFC], [NFC, NFD],
    )  # fmt: skip
    assert (await send(people, "POST", USERS, {"schemas": [USER], "userName": NFD}))[0] == 409
    for body in ({"op": "replace", "path": "title", "value": "x"}, {"op": "replace", "path": "userName", "value": "x"}):
        status, answer = await send(
            people, "PATCH", f"{USERS}/{second['id']}", {"schemas": [PATCH], "Operations": [body]}
        )
        assert status == 200, answer
    assert await found(people, f'userName eq "{NFD}"') == [first["userName"]]
    async with people.users.container.database.connection() as connection:
        await name_keys.prepare_all(connection)
        left = await connection.fetchval("SELECT count(*) FROM unprepared_names WHERE tenant_id = $1", people.tenant)
    assert left == 0


async def test_a_name_with_a_dotted_capital_i_is_no_spelling_of_the_name_with_a_plain_i(people: People) -> None:
    dotted = "\u0130smail"
    await create(people, "ismail", f"{PASSWORD} 1")
    assert (await people.try_login(dotted, f"{PASSWORD} 1"))[0] == 401, "nobody has that name yet"
    assert await found(people, f'userName eq "{dotted}"') == []
    await create(people, dotted, f"{PASSWORD} 2")
    for name, number in (("ismail", 1), (dotted, 2)):
        assert [(await people.try_login(name, f"{PASSWORD} {one}"))[0] == 200 for one in (1, 2)] == [
            number == 1,
            number == 2,
        ]
        assert await found(people, f'userName eq "{name}"') == [name]
        assert await found(people, f'userName ne "{name}"') == [one for one in ("ismail", dotted) if one != name]
    guesses = [(await people.try_login(dotted, "a wrong guess"))[0] for _ in range(6)]
    assert guesses[-1] == 429
    assert (await people.try_login("ismail", f"{PASSWORD} 1"))[0] == 200, "the other account is not locked"
