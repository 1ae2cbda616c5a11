"""Hostile input, through the proxy: the answer is a 4xx that says what is wrong, and nobody else waits for it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from quartet_testing.client import GROUP, GROUPS, PATCH, USER, USERS, Api, unique, user_document

ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
JSON = {"Content-Type": "application/scim+json"}
AT_ONCE = 0.2
"""Seconds for which nobody else may have to wait."""
SLACK = 0.3
"""Seconds that a busy machine adds."""


def refused(answer: httpx.Response, *statuses: int) -> None:
    """The answer is a SCIM error with one of the statuses (400), and says something."""
    assert answer.status_code in (statuses or (400,)), f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["Content-Type"] == "application/scim+json"
    error = answer.json()
    assert error["schemas"] == [ERROR]
    assert error["status"] == str(answer.status_code)
    assert len(error["detail"]) > 10
    assert len(answer.content) < 2000


@asynccontextmanager
async def others_do_not_wait(api: Api, path: str) -> AsyncIterator[None]:
    """Somebody else's requests to the same service are answered at once inside the block."""
    slowest = 0.0
    stop = asyncio.Event()

    async def look() -> None:
        nonlocal slowest
        while not stop.is_set():
            begun = time.perf_counter()
            assert (await api.get(path)).status_code == 200
            slowest = max(slowest, time.perf_counter() - begun)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        stop.set()
        await looking
    assert slowest < AT_ONCE + SLACK, f"somebody waited {slowest:.2f} s"


NO_OBJECTS = {
    "nothing": b"",
    "blanks": b"  \n ",
    "half": b'{"userName": "b"',
    "no JSON": b"<user/>",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"1",
    "null": b"null",
    "not UTF-8": b'{"userName": "\xff\xfe"}',
    "UTF-16": '{"userName": "b"}'.encode("utf-16"),
    "a lone surrogate": b'{"userName": "\\ud800"}',
    "a NUL": b'{"schemas": [], "userName": "a\\u0000b"}',
    "a NUL in a name": b'{"a\\u0000b": 1}',
    "a key twice": b'{"userName": "a", "userName": "b"}',
    "a key twice, escaped": b'{"userName": "a", "user\\u004eame": "b"}',
    "not a number": b'{"a": NaN}',
    "a huge number": b'{"schemas": ["%s"], "userName": 1%s}' % (USER.encode(), b"0" * 5000),
    "deep lists": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep, but well": b'{"a":' * 40 + b"1" + b"}" * 40,
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("collection", [USERS, GROUPS])
async def test_what_is_no_object_is_refused_everywhere(api: Api, collection: str, method: str) -> None:
    path = collection
    if method != "POST":
        made = await (api.create_user() if collection == USERS else api.create_group())
        path = f"{collection}/{made['id']}"
    for name, body in NO_OBJECTS.items():
        answer = await api.request(method, path, content=body, headers=JSON)
        refused(answer)
        assert answer.json()["scimType"] in ("invalidSyntax", "invalidValue"), name


@pytest.mark.parametrize("path", [f"{USERS}/.search", f"{GROUPS}/.search", "/scim/v2/.search", "/scim/v2/Bulk"])
async def test_what_is_no_message_is_refused(api: Api, path: str) -> None:
    for body in (*NO_OBJECTS.values(), b"{}", b'{"schemas": "x"}', b'{"schemas": [1]}'):
        is_long = len(body) > 64 * 1024 and path.endswith(".search")
        refused(await api.post(path, content=body, headers=JSON), 413 if is_long else 400)


NO_NAMES: list[Any] = [None, 1, True, [], {}, "", "  ", "x" * 1025, ["b", "c"]]
WRONG_USERS: list[dict[str, Any]] = [
    {},
    {"schemas": None},
    {"schemas": USER},
    {"schemas": [GROUP], "userName": "b"},
    {"schemas": [USER]},
    *({"schemas": [USER], "userName": value} for value in NO_NAMES),
    *(
        {"schemas": [USER], "userName": "b", name: value}
        for name, value in (
            ("externalId", 7),
            ("externalId", "x" * 1025),
            ("active", "maybe"),
            ("active", 1),
            ("name", "Babs"),
            ("name", {"familyName": {}}),
            ("emails", "b@example.com"),
            ("emails", [[]]),
            ("emails", [{"value": 1}]),
            ("emails", [{"value": "a", "primary": True}, {"value": "b", "primary": True}]),
            ("emails", [{"value": f"{number}@example.com"} for number in range(1001)]),
            ("password", ["x", "y"]),
            ("displayName", "x" * 1025),
            ("title", "x" * 70_000),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", 7),
            ("USERNAME", "again"),
        )
    ),
]


async def test_a_user_of_wrong_types_is_refused_with_the_attribute(api: Api) -> None:
    user = await api.create_user()
    for body in WRONG_USERS:
        refused(await api.post(USERS, json=body))
        refused(await api.put(f"{USERS}/{user['id']}", json=body))
    assert (await api.get(f"{USERS}/{user['id']}")).json()["meta"]["version"] == 'W/"1"'


async def test_a_user_with_300_emails_is_taken(api: Api) -> None:
    emails = [{"value": f"b{number}@example.com", "type": "other"} for number in range(300)]
    user = await api.create_user(emails=emails)
    assert len(user["emails"]) == 300
    query = {"filter": 'emails.value eq "b299@example.com" and id eq "' + user["id"] + '"'}
    assert (await api.get(USERS, params=query)).json()["totalResults"] == 1


WRONG_OPERATIONS: list[Any] = [
    None, [], {}, "x", [None], [1], ["x"], [{}], [{"op": "move"}], [{"op": 1}], [{"op": "add"}],
    [{"op": "remove"}],
    [{"op": "replace", "path": "nothing.like.it", "value": 1}],
    [{"op": "replace", "path": "id", "value": "x"}],
    [{"op": "replace", "path": 7, "value": "x"}],
    [{"op": "replace", "path": "", "value": "x"}],
    [{"op": "replace", "path": "emails[", "value": "x"}],
    [{"op": "replace", "path": 'emails[type eq "work"', "value": "x"}],
    [{"op": "replace", "path": "emails[type eq]", "value": "x"}],
    [{"op": "remove", "path": "userName"}],
    [{"op": "replace", "path": "x" * 100_000, "value": 1}],
    [{"op": "replace", "path": "emails[" + "(" * 3000 + 'type eq "a"' + ")" * 3000 + "]", "value": 1}],
    [{"op": "add", "path": "emails", "value": [{"value": "a"}] * 2, "more": 1}] * 1001,
    [{"op": "replace", "path": "urn:\u0000", "value": 1}],
]  # fmt: skip


@pytest.mark.parametrize("collection", [USERS, GROUPS])
async def test_operations_that_are_none_are_refused_and_change_nothing(api: Api, collection: str) -> None:
    made = await (api.create_user() if collection == USERS else api.create_group())
    path = f"{collection}/{made['id']}"
    for operations in WRONG_OPERATIONS:
        answer = await api.patch(path, json={"schemas": [PATCH], "Operations": operations})
        refused(answer)
    assert (await api.get(path)).json()["meta"]["version"] == 'W/"1"'


HOSTILE_FILTERS = [
    " ", "x", "userName", "userName eq", 'userName eq "', "userName eq b", 'userName xx "b"', 'eq "b"',
    'userName eq "b" and', "(userName pr", "userName pr)", "not userName pr", 'emails[type eq "work"', "[]", "emails[]",
    'password eq "x"', "password pr", 'nobody eq "x"', "active gt true", 'meta.created gt "yesterday"', "userName eq 1",
    "(" * 21 + "userName pr" + ")" * 21,
    "not " * 50 + "(userName pr)",
    " or ".join(["userName pr"] * 101),
    'userName eq "' + "x" * 4096 + '"',
    'userName eq "\\ud800"', 'userName eq "\x00"', "userName eq \u201cb\u201d", "userName pr; DROP TABLE users",
    "' OR 1=1 --",
    "urn:" * 500,
]  # fmt: skip


@pytest.mark.parametrize("path", [USERS, GROUPS, "/scim/v2"], ids=["users", "groups", "root"])
async def test_hostile_filters_are_refused_by_query_and_by_message(api: Api, path: str) -> None:
    search = f"{path}/.search"
    for text in HOSTILE_FILTERS:
        if path == "/scim/v2" and ("nobody" in text or "active gt" in text or "password" in text):
            continue  # over several types, an attribute that one does not have is absent
        if path == GROUPS and ("userName" in text or "active" in text or "emails" in text):
            text = text.replace("userName", "displayName")  # noqa: PLW2901  # what groups have in its place
        for answer in (
            await api.get(path, params={"filter": text}),
            await api.post(search, json={"schemas": [SEARCH], "filter": text}),
        ):
            refused(answer)


async def test_a_filter_of_ten_thousand_terms_is_refused(api: Api) -> None:
    text = " or ".join(["userName pr"] * 10_000)
    refused(await api.post(f"{USERS}/.search", json={"schemas": [SEARCH], "filter": text[:60_000]}))
    refused(await api.post(f"{USERS}/.search", json={"schemas": [SEARCH], "filter": text}), 413)
    answer = await api.get(USERS, params={"filter": text[:40_000]})
    assert answer.status_code in (400, 414)


ODD_QUERIES = [
    {"startIndex": "one"}, {"count": "many"}, {"count": "1e3"}, {"count": "9" * 30}, {"startIndex": "1.5"},
    {"excludedAttributes": "\x00"}, {"sortBy": "nobody"}, {"sortBy": "password"},
    {"sortBy": "userName", "sortOrder": "sideways"},
    {"cursor": "forged"},
    {"cursor": "A" * 3000}, {"attributes": "id", "excludedAttributes": "userName"}, {"cursor": "\x00"},
]  # fmt: skip


async def test_odd_queries_are_refused(api: Api) -> None:
    for query in ODD_QUERIES:
        for path in (USERS, GROUPS):
            refused(await api.get(path, params=query))


TAKEN_QUERIES = [
    {"startIndex": "-5"}, {"startIndex": "999999999999"}, {"count": "-1"}, {"count": "100000"}, {"attributes": ""},
    {"attributes": "," * 500}, {"excludedAttributes": "\ud7ff,nobody"}, {"attributes": "x" * 3000},
    {"unknown": "1"}, {"count": ""}, {"filter": ""},
]  # fmt: skip


async def test_odd_queries_that_mean_something_are_answered(api: Api) -> None:
    for query in TAKEN_QUERIES:
        for path in (USERS, GROUPS):
            assert (await api.get(path, params=query)).status_code == 200, query


ODD_IDS = [
    "x",
    "0",
    "%00",
    "%ff",
    "..%2F..",
    "%20",
    "'",
    "%22",
    "a" * 4000,
    "01a20458-d3da-70f4-b50d-2a76abd0b72c",
    "null",
]
OF_THE_PROXY = ("%00", "..%2F..")
"""What the proxy answers itself, since it is no path or leads elsewhere."""


@pytest.mark.parametrize("collection", [USERS, GROUPS])
async def test_invalid_ids_belong_to_no_user_or_group(api: Api, collection: str) -> None:
    body = {USERS: user_document(), GROUPS: {"schemas": [GROUP], "displayName": "g"}}[collection]
    patch = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "displayName", "value": "x"}]}
    for odd in ODD_IDS:
        path = f"{collection}/{odd}"
        for method, sent in (("GET", None), ("PUT", body), ("PATCH", patch), ("DELETE", None)):
            answer = await api.request(method, path, json=sent)
            assert answer.status_code in (400, 404), f"{method} {path}: {answer.status_code}"
            if odd not in OF_THE_PROXY:
                refused(answer, 404)


async def test_other_media_types_are_refused(api: Api) -> None:
    for kind in (
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "x",
    ):
        refused(await api.post(USERS, content=b"{}", headers={"Content-Type": kind}), 415)
        refused(await api.post(GROUPS, content=b"{}", headers={"Content-Type": kind}), 415)


async def test_conditions_that_are_none_do_no_harm(api: Api) -> None:
    user = await api.create_user()
    for value in ("x", '"', 'W/"', "*, *", 'W/"99999999999999999999"', "," * 1000, 'W/"-1"'):
        answer = await api.delete(f"{USERS}/{user['id']}", headers={"If-Match": value})
        if value != "*, *":
            refused(answer, 412, 400)
        read = await api.get(f"{USERS}/{user['id']}", headers={"If-None-Match": value})
        assert read.status_code in (200, 304, 400, 404)


async def test_headers_that_are_too_large_are_refused_by_the_proxy(api: Api) -> None:
    refused(await api.get(USERS, headers={"X-Padding": "x" * 200_000}), 400)
    answer = await api.get("/audit/events", headers={"X-Padding": "x" * 200_000})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    answer = await api.get(USERS, headers={"Authorization": "Bearer " + "x" * 12_000})
    refused(answer, 401)


async def test_bodies_that_are_too_large_are_refused_while_others_are_served(api: Api) -> None:
    user, group = await api.create_user(), await api.create_group()
    big = json.dumps(user_document(title="x" * 12_000_000)).encode()
    async with others_do_not_wait(api, f"{USERS}/{user['id']}"):
        refused(await api.post(USERS, content=big, headers=JSON), 413, 400)
        refused(await api.post("/scim/v2/Bulk", content=big, headers=JSON), 413, 400)
    async with others_do_not_wait(api, f"{GROUPS}/{group['id']}"):
        refused(await api.post(GROUPS, content=big, headers=JSON), 413, 400)
    refused(await api.post(GROUPS, content=b"x" * 14_000_000, headers=JSON), 413)
    answer = await api.post("/users/schemas", content=b"x" * 14_000_000, headers=JSON)
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")


async def test_large_bodies_of_many_small_things_do_not_hold_up_others(api: Api) -> None:
    user, group = await api.create_user(), await api.create_group()
    part = 250_000  # what fits into the megabyte that users takes
    bodies = [
        b'{"schemas":["%s"],"userName":"b","emails":[%s]}' % (USER.encode(), b",".join([b"{}"] * part)),
        b'{"schemas":["%s"],"userName":"b",%s}' % (USER.encode(), b",".join(b'"k%d":1' % one for one in range(80_000))),
        b'{"schemas":[%s]}' % b",".join([b'"urn:x:y"'] * 90_000),
        b'{"schemas":["%s"],"userName":"%s"}' % (USER.encode(), b"\\u0061" * 150_000),
        b'{"a":' + b"[" * 480_000 + b"]" * 480_000 + b"}",
    ]
    async with others_do_not_wait(api, f"{USERS}/{user['id']}"):
        for body in bodies:
            answer = await api.post(USERS, content=body, headers=JSON)
            if answer.status_code != 201:  # unknown attributes and schemas are nobody's business, however many
                refused(answer, 400, 409, 413)
    many = json.dumps({"schemas": [GROUP], "displayName": unique("g"), "members": [{"value": "x"}] * 200_000}).encode()
    async with others_do_not_wait(api, f"{GROUPS}/{group['id']}"):
        refused(await api.post(GROUPS, content=many, headers=JSON), 400, 413)


async def test_bulks_that_are_none_are_refused(api: Api) -> None:
    wrong: list[Any] = [None, {}, "x", [None], [1], [[]], [{"method": "POST"}] * 1001]
    for operations in wrong:
        answer = await api.post("/scim/v2/Bulk", json={"schemas": [BULK], "Operations": operations})
        if answer.status_code == 200:  # each operation has an answer of its own
            assert {one["status"] for one in answer.json()["Operations"]} <= {"400"}
        else:
            refused(answer, 400, 413)


async def test_unknown_methods_are_refused(api: Api) -> None:
    for method in ("PROPFIND", "TRACE", "FOO"):
        answer = await api.request(method, USERS)
        assert 400 <= answer.status_code < 500 or answer.status_code == 501, answer.status_code


@pytest.mark.parametrize(
    "document",
    [
        {"id": "urn:example:a", "name": "n", "attributes": [{"name": "a", "subAttributes": {"a": 1}}]},
        {"id": "urn:example:a", "name": "n", "attributes": [{"name": f"a{number}"} for number in range(5000)]},
        {"id": ["urn:example:a"], "name": {}, "attributes": "x"},
        {"id": "urn:example:a'); DROP TABLE users; --", "name": "n", "attributes": [{"name": "a"}]},
    ],
)
async def test_schemas_that_are_none_are_refused(api: Api, document: object) -> None:
    answer = await api.post("/users/schemas", json=document)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["detail"]
