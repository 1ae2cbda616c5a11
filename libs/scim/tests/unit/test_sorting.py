"""sortBy: what it means, what is refused, and the order of documents."""

from typing import Any

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.filters import Column, Kind, Rows
from quartet_scim.schema import ResourceType, user_resource_type
from quartet_scim.sorting import Sorter, key_of, rank

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
def sorter() -> Sorter:
    return Sorter(user_resource_type())


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("userName", "userName"),
        ("USERNAME", "userName"),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", "userName"),
        ("name.familyName", "name.familyName"),
        ("emails", "emails.value"),
        ("emails.type", "emails.type"),
        ("meta.lastModified", "meta.lastModified"),
        (f"{ENTERPRISE}:department", f"{ENTERPRISE}:department"),
        ("department", f"{ENTERPRISE}:department"),
        ("manager", f"{ENTERPRISE}:manager.value"),
    ],
)
def test_an_attribute_is_found_by_every_name_that_it_has(sorter: Sorter, written: str, name: str) -> None:
    order = sorter.order(written)
    assert order is not None
    assert order.target.name == name


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("nickname_", "no attribute nickname_"),
        ("name", "complex"),
        ("password", "sensitive"),
        (ENTERPRISE, "is a schema"),
        ("userName; DROP TABLE users", "no attribute"),
        ("x" * 10_000, "no attribute"),
        ("userna\u212ae", "no attribute"),  # the Kelvin sign, whose lower case is a k
    ],
)
def test_what_cannot_be_sorted_by_is_refused(sorter: Sorter, written: str, problem: str) -> None:
    with pytest.raises(ScimError, match=problem) as caught:
        sorter.order(written)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")
    assert len(caught.value.detail) < 300


def test_over_several_types_an_unknown_attribute_has_no_value_and_a_secret_stays_one(sorter: Sorter) -> None:
    assert sorter.order("members", unknown_is_absent=True) is None
    with pytest.raises(ScimError, match="sensitive"):
        sorter.order("password", unknown_is_absent=True)


def test_attributes_in_rows_or_without_a_column_are_refused(sorter: Sorter) -> None:
    for name in ("groups", "meta.created"):
        order = sorter.order(name)
        assert order is not None
        with pytest.raises(ScimError, match="cannot be sorted by"):
            key_of(order.target, {"groups": Rows("x WHERE TRUE", {"value": Column("v", Kind.UUID)})})


def ordered(users: ResourceType, sort_by: str, documents: list[dict[str, Any]]) -> list[str]:
    order = Sorter(users).order(sort_by)
    whole = [{"id": str(number), **document} for number, document in enumerate(documents)]
    return [document["id"] for document in sorted(whole, key=lambda one: rank(order, one))]


def test_the_primary_value_decides_or_else_the_first(badge_users: ResourceType) -> None:
    emails = [
        [{"value": "z"}, {"value": "b", "primary": True}],
        [{"value": "A"}, {"value": "0"}],
        [{"value": "c", "primary": False}],
        [],
    ]
    assert ordered(badge_users, "emails", [{"emails": some} for some in emails]) == ["1", "0", "2", "3"]


def test_case_counts_where_the_schema_says_so_and_no_value_comes_last(badge_users: ResourceType) -> None:
    texts: list[dict[str, Any]] = [{"nickName": "b", "externalId": "b"}, {}, {"nickName": "A", "externalId": "c"}]
    texts.append({"nickName": "a", "externalId": "B"})
    assert ordered(badge_users, "nickName", texts) == ["2", "3", "0", "1"]
    assert ordered(badge_users, "externalId", texts) == ["3", "0", "2", "1"]


def test_dates_are_sorted_as_instants_and_numbers_as_numbers(badge_users: ResourceType) -> None:
    badge = badge_users.extensions[1].id
    since = ["2026-01-31T09:30:00Z", "2026-01-31T09:00:00-01:00", "2026-01-31T09:30:00+01:00"]
    assert ordered(badge_users, f"{badge}:since", [{badge: {"since": one}} for one in since]) == ["2", "0", "1"]
    assert ordered(badge_users, f"{badge}:score", [{badge: {"score": one}} for one in (10, 9.5, -1)]) == ["2", "1", "0"]
    assert ordered(badge_users, "active", [{"active": True}, {"active": False}, {}]) == ["1", "0", "2"]
