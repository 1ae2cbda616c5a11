"""The protocol of reading through the proxy: methods, addresses, conditions, searches over all types, /Me."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, Document, group_document, patch_document, unique, user_document
from quartet_testing.services import new_tenant

ROOT = "/scim/v2"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
SCIM = "application/scim+json"
DISCOVERY = (
    "ServiceProviderConfig",
    "ResourceTypes",
    "ResourceTypes/User",
    "Schemas",
    "Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
)


def is_error(answer: Any, status: int, scim_type: str | None = None) -> None:
    """The answer is a SCIM error that says something."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, SCIM), answer.text
    body = answer.json()
    assert (body["schemas"], body["status"], body.get("scimType")) == ([ERROR], str(status), scim_type)
    assert body["detail"]


async def find(api: Api, path: str = f"{ROOT}/.search", **members: Any) -> Document:
    answer = await api.post(path, json={"schemas": [SEARCH], **members})
    assert answer.status_code == 200, answer.text
    found: Document = answer.json()
    return found


async def test_head_answers_as_get_does_but_for_the_body(api: Api) -> None:
    user, member = await api.create_user(), await api.create_user()
    group = await api.create_group([member["id"]])  # not the other: its `groups` would appear between two answers
    paths = [f"{USERS}/{user['id']}", f"{GROUPS}/{group['id']}", f"{USERS}?filter=id%20eq%20%22{user['id']}%22"]
    for path in (*paths, *(f"{ROOT}/{name}" for name in DISCOVERY)):
        whole, head = await api.get(path), await api.head(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Content-Location"):
            assert head.headers.get(name) == whole.headers.get(name), name
        assert int(head.headers["Content-Length"]) == len(whole.content) > 0
    missing = await api.head(f"{USERS}/nobody")
    assert (missing.status_code, missing.content) == (404, b"")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (USERS, {"GET", "HEAD", "OPTIONS", "POST"}),
        (f"{USERS}/x", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        (GROUPS, {"GET", "HEAD", "OPTIONS", "POST"}),
        (f"{GROUPS}/x", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        (f"{ROOT}/Schemas", {"GET", "HEAD", "OPTIONS"}),
        (f"{ROOT}/Me", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST"}),
    ],
)
async def test_options_and_405_say_which_methods_there_are(api: Api, path: str, allowed: set[str]) -> None:
    options = await api.options(path)
    assert options.status_code == 200
    assert set(options.headers["Allow"].split(", ")) == allowed
    for method in {"POST", "PUT", "PATCH", "DELETE", "PROPFIND"} - allowed:
        answer = await api.request(method, path, json={})
        is_error(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("name", DISCOVERY)
async def test_discovery_is_neither_written_nor_filtered(api: Api, name: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        is_error(await api.request(method, f"{ROOT}/{name}", json={}), 405)
    is_error(await api.get(f"{ROOT}/{name}", params={"filter": "id pr"}), 403)


async def test_a_slash_at_the_end_changes_nothing(api: Api) -> None:
    created = await api.post(f"{USERS}/", json=user_document())
    assert created.status_code == 201
    address = f"{USERS}/{created.json()['id']}"
    assert (await api.get(f"{address}/")).json() == created.json()
    rename = patch_document({"op": "replace", "path": "displayName", "value": "B"})
    assert (await api.patch(f"{address}/", json=rename)).json()["displayName"] == "B"
    assert (await api.get(f"{USERS}/", params={"count": 0})).json()["itemsPerPage"] == 0
    group = await api.post(f"{GROUPS}/", json=group_document())
    assert (await api.get(f"{GROUPS}/{group.json()['id']}/")).status_code == 200
    assert (await find(api, f"{USERS}/.search/", count=0))["itemsPerPage"] == 0
    for name in DISCOVERY:
        assert (await api.get(f"{ROOT}/{name}/")).status_code == 200
    assert (await api.delete(f"{address}/")).status_code == 204
    for path in (f"{ROOT}/Nothing", f"{ROOT}/Nothing/", f"{USERS}/a/b", f"{GROUPS}/a/b"):
        is_error(await api.get(path), 404)


async def test_service_provider_config_has_the_supported_features(api: Api) -> None:
    config = (await api.get(f"{ROOT}/ServiceProviderConfig")).json()
    for feature in ("patch", "filter", "sort", "etag", "changePassword"):
        assert config[feature]["supported"], feature
    assert config["pagination"]["cursor"]
    assert config["pagination"]["index"]
    assert config["filter"]["maxResults"] == config["pagination"]["maxPageSize"]
    for name in ("ResourceTypes", "Schemas"):
        listed = (await api.get(f"{ROOT}/{name}")).json()
        assert listed["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
        assert listed["totalResults"] == listed["itemsPerPage"] == len(listed["Resources"])


async def resource(api: Api, kind: str) -> tuple[str, Document, Document]:
    """The address of a new resource, itself, and what it can be replaced by."""
    if kind == USERS:
        made = await api.create_user()
        return f"{USERS}/{made['id']}", made, user_document(userName=made["userName"])
    made = await api.create_group()
    return f"{GROUPS}/{made['id']}", made, group_document()


@pytest.mark.parametrize("kind", [USERS, GROUPS])
async def test_a_write_insists_on_the_version_that_it_knows(api: Api, kind: str) -> None:
    address, made, document = await resource(api, kind)
    version = made["meta"]["version"]
    rename = patch_document({"op": "replace", "path": "displayName", "value": unique("B")})

    async def write(method: str, condition: str, **body: Any) -> Any:
        return await api.request(method, address, headers={"If-Match": condition}, **body)

    for method, body in (("PUT", {"json": document}), ("PATCH", {"json": rename}), ("DELETE", {})):
        is_error(await write(method, 'W/"99"', **body), 412)
        is_error(await write(method, "nonsense", **body), 400, "invalidVers")
    assert (await api.get(address)).json() == made
    changed = await write("PATCH", version, json=rename)
    assert (changed.status_code, changed.headers["ETag"]) == (200, 'W/"2"')
    is_error(await write("PUT", version, json=document), 412)
    assert (await write("PUT", f'"7", {changed.headers["ETag"]}', json=document)).status_code == 200
    assert (await write("PATCH", "*", json=rename)).status_code == 200
    assert (await write("DELETE", "*")).status_code == 204
    is_error(await write("DELETE", "*"), 404)


@pytest.mark.parametrize("kind", [USERS, GROUPS])
async def test_a_reader_that_has_the_version_is_sent_nothing(api: Api, kind: str) -> None:
    address, made, _ = await resource(api, kind)
    for condition in (made["meta"]["version"], "*", '"1", "2"'):
        for method in ("GET", "HEAD"):
            answer = await api.request(method, address, headers={"If-None-Match": condition})
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", 'W/"1"')
    assert (await api.get(address, headers={"If-None-Match": 'W/"2"'})).json() == made
    is_error(await api.get(address, headers={"If-None-Match": "nonsense"}), 400, "invalidVers")


@pytest.mark.parametrize("kind", [USERS, GROUPS])
async def test_of_many_writers_who_know_the_same_version_one_wins(api: Api, kind: str) -> None:
    address, made, _ = await resource(api, kind)
    names = [unique("winner") for _ in range(8)]

    async def write(name: str) -> int:
        rename = patch_document({"op": "replace", "path": "displayName", "value": name})
        answer = await api.patch(address, json=rename, headers={"If-Match": made["meta"]["version"]})
        return answer.status_code

    statuses = await asyncio.gather(*map(write, names))
    assert sorted(statuses) == [200, *[412] * 7]
    kept = (await api.get(address)).json()
    assert (kept["displayName"], kept["meta"]["version"]) == (names[statuses.index(200)], 'W/"2"')


def kinds(page: Document) -> list[str]:
    return [one["meta"]["resourceType"] for one in page["Resources"]]


@pytest.fixture
async def tenant_of_seven(stack: Stack) -> Any:
    """A client of a tenant with four users and three groups, whose names alternate; and their names in order."""
    async with Api(stack.url, await asyncio.to_thread(stack.token, new_tenant())) as api:
        for name in "dbfh":
            await api.create_user(userName=f"u-{name}", displayName=name.upper())
        for name in "gce":
            await api.create_group(displayName=name)
        yield api


pytestmark = pytest.mark.local_stack


async def test_a_search_over_all_types_pages_through_users_and_then_groups(tenant_of_seven: Api) -> None:
    api = tenant_of_seven
    whole = await find(api)
    assert (whole["totalResults"], kinds(whole)) == (7, [*["User"] * 4, *["Group"] * 3])
    for start, count in ((1, 2), (3, 3), (5, 2), (6, 9), (8, 5), (1, 0)):
        page = await find(api, startIndex=start, count=count)
        assert page["Resources"] == whole["Resources"][start - 1 : start - 1 + count]
        assert (page["totalResults"], page["startIndex"]) == (7, start)
    for count in (1, 2, 3, 4, 7, 50):
        seen: list[Document] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await find(api, cursor=cursor, count=count)
            assert len(page["Resources"]) <= count
            seen += page["Resources"]
            cursor = page.get("nextCursor")
        assert seen == whole["Resources"]
    assert (await api.get(f"{ROOT}/")).json() == whole


async def test_a_search_over_all_types_joins_them_in_one_order(tenant_of_seven: Api) -> None:
    api = tenant_of_seven
    for order, expected in (("ascending", "bcdefgh"), ("descending", "hgfedcb")):
        asked = {"sortBy": "displayName", "sortOrder": order}
        whole = await find(api, **asked, attributes=["displayName"])
        assert "".join(one["displayName"].lower() for one in whole["Resources"]) == expected
        assert whole["totalResults"] == 7
        page = await find(api, **asked, startIndex=3, count=3)
        assert "".join(one["displayName"].lower() for one in page["Resources"]) == expected[2:5]
        first = await find(api, **asked, cursor="", count=5)
        rest = await find(api, **asked, cursor=first["nextCursor"], count=5)
        assert "".join(one["displayName"].lower() for one in [*first["Resources"], *rest["Resources"]]) == expected
        assert "nextCursor" not in rest
    only_users = await find(api, sortBy="userName", count=5)
    assert kinds(only_users) == [*["User"] * 4, "Group"]
    too_deep = await api.post(f"{ROOT}/.search", json={"schemas": [SEARCH], "sortBy": "id", "startIndex": 999})
    is_error(too_deep, 400, "tooMany")
    unknown = await api.post(f"{ROOT}/.search", json={"schemas": [SEARCH], "sortBy": "nothing"})
    is_error(unknown, 400, "invalidValue")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('displayName eq "C" or userName eq "U-D"', 2),
        ('meta.resourceType eq "Group"', 3),
        ("userName pr", 4),
        ("not (userName pr)", 3),
        ('members pr or displayName sw "h"', 1),
        ("nothing pr", 0),
    ],
)
async def test_a_filter_over_all_types_takes_what_a_type_lacks_as_absent(
    tenant_of_seven: Api, text: str, number: int
) -> None:
    page = await find(tenant_of_seven, filter=text)
    assert (page["totalResults"], len(page["Resources"])) == (number, number)
    is_error(
        await tenant_of_seven.post(f"{ROOT}/.search", json={"schemas": [SEARCH], "filter": "(("}), 400, "invalidFilter"
    )


async def test_a_search_over_all_types_shows_what_the_token_may_read(stack: Stack) -> None:
    tenant = new_tenant()
    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant)) as api:
        await api.create_group([(await api.create_user())["id"]])
    for scope, expected in (
        ("users:read", ["User"]),
        ("groups:read", ["Group"]),
        ("users:read groups:read", ["User", "Group"]),
    ):
        async with Api(stack.url, await asyncio.to_thread(stack.token, tenant, scope)) as api:
            for query in ({}, {"sortBy": "id"}, {"cursor": ""}):
                assert kinds(await find(api, **query)) == expected
    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant, "audit:read")) as api:
        is_error(await api.post(f"{ROOT}/.search", json={"schemas": [SEARCH]}), 403)


async def test_a_token_of_an_api_client_has_no_me(api: Api) -> None:
    for method, body in (("GET", None), ("PUT", user_document()), ("PATCH", patch_document()), ("DELETE", None)):
        answer = await api.request(method, f"{ROOT}/Me", json=body)
        is_error(answer, 404)
        assert "token" in answer.json()["detail"]
    is_error(await api.post(f"{ROOT}/Me", json=user_document()), 501)
    assert json.loads((await api.get(f"{USERS}/{uuid4()}")).text)["status"] == "404"
