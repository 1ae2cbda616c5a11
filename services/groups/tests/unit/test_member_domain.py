"""The rules for members."""

from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import new_id
from quartet_groups.events import NestedGroup
from quartet_groups.member_domain import Kind, SentMember, read_orders, split_by_kind, split_members
from quartet_scim.errors import ScimError
from quartet_scim.patch import MemberChanges

ONE, TWO, THREE, FOUR, FIVE = (new_id() for _ in range(5))


def sent(*members: dict[str, Any]) -> list[SentMember]:
    return split_members({"members": list(members)})[1]


def test_members_are_split_off_and_each_counts_once() -> None:
    members = [{"value": str(ONE)}, {"value": str(TWO), "type": "user"}, {"value": str(ONE).upper()}]
    rest, found = split_members({"displayName": "x", "members": members})
    assert rest == {"displayName": "x"}
    assert [(one.id, one.kind) for one in found] == [(ONE, None), (TWO, Kind.USER)]


def test_a_group_may_be_sent_without_members() -> None:
    assert split_members({"displayName": "x"}) == ({"displayName": "x"}, [])


def test_what_one_entry_says_of_a_member_counts_for_the_other() -> None:
    [found] = sent({"value": str(ONE), "type": "GROUP"}, {"value": str(ONE)})
    assert found.kind is Kind.GROUP


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ({"value": "nobody"}, "members[1].value"),
        ({"value": str(TWO), "type": "Device"}, "members[1].type"),
        ({"value": str(ONE), "type": "Group"}, "members[1].type"),
        ({}, "members[1].value"),
    ],
)
def test_a_member_that_cannot_be_one_is_named_by_its_path(member: dict[str, str], path: str) -> None:
    with pytest.raises(ScimError) as caught:
        sent({"value": str(ONE), "type": "User"}, member)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")
    assert path in caught.value.detail


def test_orders_pass_over_the_removal_of_what_is_no_id() -> None:
    orders = read_orders(MemberChanges(False, ("nobody", str(ONE)), {str(TWO): {"value": str(TWO)}}))
    assert (orders.removed, [one.id for one in orders.added]) == ([ONE], [TWO])


def test_users_and_groups_are_told_apart_by_who_exists() -> None:
    members = sent({"value": str(ONE)}, {"value": str(TWO), "type": "Group"}, {"value": str(THREE)})
    assert split_by_kind(members, {ONE}, {TWO: "Staff", THREE: "Board"}) == (
        [ONE], [NestedGroup(TWO, "Staff"), NestedGroup(THREE, "Board")]
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "users"), [("User", set()), ("Group", {TWO})])
def test_a_member_that_is_something_else_than_it_says_is_refused_by_its_place(kind: str, users: set[UUID]) -> None:
    groups = {} if users else {TWO: "Staff"}
    with pytest.raises(ScimError) as caught:
        split_by_kind(sent({"value": str(ONE)}, {"value": str(TWO), "type": kind}), {ONE} | users, groups)
    assert caught.value.scim_type == "invalidValue"
    assert caught.value.detail == f"members[1].type: {TWO} is a {'User' if users else 'Group'}."


def test_whom_nobody_knows_is_named_and_many_are_counted() -> None:
    unknown = sent(*({"value": str(one)} for one in (ONE, TWO, THREE, FOUR, FIVE)))
    with pytest.raises(ScimError) as caught:
        split_by_kind(unknown, {ONE}, {})
    detail = caught.value.detail
    assert detail.startswith(f"members[1].value: no user or group has the id {TWO}")
    assert str(ONE) not in detail
    assert str(FIVE) not in detail
    assert "and 1 more" in detail
