"""Selections: which searches an index serves, and which read every resource of the tenant."""

from typing import Any

import pytest

from quartet_scim.compiled_type import CompiledType
from quartet_scim.filters import Column, Columns, Kind, Lookup, Rows
from quartet_scim.page_sql import select
from quartet_scim.paging import Page
from quartet_scim.query import Query
from quartet_scim.schema import user_resource_type

SEARCHED: Columns = {
    "id": Column("id", Kind.UUID, required=True, indexed=True, unique=True),
    "userName": Column("name_key", Kind.FOLDED, required=True, indexed=True, unique=True),
    "externalId": Column("external_id", indexed=True),
    "meta.lastModified": Column("modified_at", Kind.INSTANT, required=True),
    "groups": Rows(
        "belongings AS f WHERE f.user_id = users.id", {"value": Column("f.group_id", Kind.UUID, indexed=True)}
    ),
    "emails.value": Lookup("emails AS e WHERE e.id = users.id", "e.address", 320),
}
USERS = CompiledType.of(user_resource_type())


def is_indexed(**query: Any) -> bool:
    return select(Query(Page(1, 10), **query), USERS).is_indexed(SEARCHED)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"filter": 'userName eq "a"'},
        {"filter": 'externalId eq "a"'},
        {"filter": 'emails.value eq "a@b.c"'},
        {"filter": 'emails[type eq "work" and value eq "a@b.c"]'},
        {"filter": 'groups.value eq "6d7f8a52-0c0a-4c3c-9a3f-0d9b5b8f7a10"'},
        {"filter": 'groups[value eq "6d7f8a52-0c0a-4c3c-9a3f-0d9b5b8f7a10"]'},
        {"filter": 'emails[type eq "work"].value eq "a@b.c"'},
        {"filter": 'nickName co "a" and userName eq "a"'},
        {"filter": 'nickName co "a" and (title co "b" and id eq "6d7f8a52-0c0a-4c3c-9a3f-0d9b5b8f7a10")'},
        {"filter": 'userName eq "a" or userName eq "b" or externalId eq "c"'},
        {"filter": 'userName eq "a"', "sort_by": "nickName"},
        {"sort_by": "userName"},
    ],
)
def test_an_index_finds_the_few_resources_that_can_match(query: dict[str, Any]) -> None:
    assert is_indexed(**query)


@pytest.mark.parametrize(
    "query",
    [
        {"filter": 'nickName eq "a"'},
        {"filter": 'userName co "a"'},
        {"filter": 'userName ne "a"'},
        {"filter": 'not (userName eq "a")'},
        {"filter": "userName pr"},
        {"filter": 'userName eq "a" or nickName eq "b"'},
        {"filter": 'userName eq "a" or emails.value eq "a@b.c"'},
        {"filter": 'emails[type eq "work"]'},
        {"filter": 'externalId eq "a" and nickName co "b"'},
        {"filter": 'emails.value eq "a@b.c" and nickName co "b"'},
        {"filter": 'groups.value eq "6d7f8a52-0c0a-4c3c-9a3f-0d9b5b8f7a10" and nickName co "b"'},
        {"filter": 'groups[value eq "6d7f8a52-0c0a-4c3c-9a3f-0d9b5b8f7a10"] and nickName co "b"'},
        {"filter": 'emails[value eq "a@b.c" and display co "1" and display co "2" and display co "3"]'},
        {"filter": 'emails[value eq "a@b.c" and (display co "a" or display co "b")]'},
        {"filter": "groups.value pr"},
        {"filter": 'meta.lastModified gt "2020-01-01T00:00:00Z"'},
        {"sort_by": "nickName"},
        {"sort_by": "externalId"},
    ],
)
def test_every_resource_of_the_tenant_may_have_to_be_read(query: dict[str, Any]) -> None:
    assert not is_indexed(**query)
