"""Searches over users and groups: each resource is on exactly one page, also where pages end at their bytes."""

import json
from dataclasses import dataclass

import pytest
from quart import Quart

from quartet_common.web import cursors
from quartet_common.web.cursors import EXTENSION, cursor_key
from quartet_scim.compiled_type import CompiledType
from quartet_scim.paging import Page
from quartet_scim.query import Query
from quartet_scim.schema import group_resource_type, user_resource_type
from quartet_scim_http.searching import Found
from quartet_users.search import multi_type_search
from quartet_users.search.multi_type_search import Searched, search_all

PAGE_BYTES = 1_000
USERS = {f"name{number:02}": 300 for number in range(0, 20, 2)}
GROUPS = {f"name{number:02}": 10 for number in range(1, 20, 2)}


@dataclass
class Directory:
    """Resources of one type by displayName, each with its bytes, whose pages end at PAGE_BYTES."""

    resources: dict[str, int]

    async def search(self, query: Query) -> Found:
        start = int(query.cursor or 0) if query.cursor is not None else query.page.offset
        ordered = sorted(self.resources, reverse=query.descending)
        found: list[bytes] = []
        for name in ordered[start : start + query.page.count]:
            if sum(map(len, found)) >= PAGE_BYTES:
                break
            found.append(json.dumps({"displayName": name, "id": "x" * self.resources[name]}).encode())
        end = start + len(found)
        onward = str(end) if query.cursor is not None and end < len(ordered) else None
        return Found(found, len(ordered), onward)


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> list[Searched]:
    app = Quart("test")
    app.extensions[EXTENSION] = cursor_key("secret")
    monkeypatch.setattr(cursors, "current_app", app)
    monkeypatch.setattr(multi_type_search, "PAGE_BYTES", PAGE_BYTES)
    return [
        Searched(CompiledType.of(user_resource_type()), Directory(USERS).search),
        Searched(CompiledType.of(group_resource_type()), Directory(GROUPS).search),
    ]


def names(found: Found) -> list[str]:
    assert sum(map(len, found.resources)) < 2 * PAGE_BYTES
    return [json.loads(one)["displayName"] for one in found.resources]


EXPECTED = {None: [*USERS, *GROUPS], False: sorted({*USERS, *GROUPS}), True: sorted({*USERS, *GROUPS}, reverse=True)}


@pytest.mark.parametrize("descending", EXPECTED)
@pytest.mark.parametrize("count", [1, 3, 7, 50])
async def test_pages_by_index_hold_everything_once(types: list[Searched], descending: bool | None, count: int) -> None:
    sort_by = None if descending is None else "displayName"
    seen: list[str] = []
    while len(seen) < len(EXPECTED[descending]):
        query = Query(Page(len(seen) + 1, count), None, sort_by, bool(descending))
        found = await search_all(query, types, "acme")
        assert found.total == 20
        assert found.resources
        seen += names(found)
    assert seen == EXPECTED[descending]


@pytest.mark.parametrize("descending", EXPECTED)
@pytest.mark.parametrize("count", [1, 3, 7, 50])
async def test_pages_by_cursor_hold_everything_once(types: list[Searched], descending: bool | None, count: int) -> None:
    sort_by = None if descending is None else "displayName"
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = Query(Page(1, count), None, sort_by, bool(descending), cursor=cursor)
        found = await search_all(query, types, "acme")
        seen += names(found)
        cursor = found.next_cursor
    assert seen == EXPECTED[descending]
