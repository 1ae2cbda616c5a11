"""The rules for groups."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from quartet_common.core.identifiers import new_id
from quartet_groups import events, group_domain
from quartet_groups.events import NestedGroup
from quartet_groups.member_domain import MemberChange, Members

GROUP_ID = UUID("01a2045d-da98-76b8-be66-a92a65f59f7a")
NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ONE, TWO = new_id(), new_id()
NOBODY = MemberChange()
STAFF = NestedGroup(new_id(), "Staff")


def a_group(**attributes: object) -> group_domain.Group:
    return group_domain.Group(GROUP_ID, {"schemas": ["core"], "displayName": "Tour Guides", **attributes}, 1, NOW, NOW)


def test_a_new_group_tells_of_itself_and_then_of_its_members() -> None:
    group, published = group_domain.create(GROUP_ID, {"displayName": "Tour Guides"}, Members([ONE, TWO]), NOW)
    assert group.version == 1
    assert [event.type for event in published] == [events.CREATED, events.MEMBERS_ADDED]
    assert {event.subject for event in published} == {f"groups/{GROUP_ID}"}
    assert [member["value"] for member in published[1].data["members"]] == [str(ONE), str(TWO)]


def test_many_members_are_told_in_several_events() -> None:
    many = [new_id() for _ in range(2001)]
    _, published = group_domain.create(GROUP_ID, {"displayName": "x"}, Members(many), NOW)
    assert [len(event.data["members"]) for event in published[1:]] == [1000, 1000, 1]


def test_a_change_tells_what_differs_and_who_came_and_went() -> None:
    after, published = group_domain.change(
        a_group(), {"displayName": "Guides"}, MemberChange(Members([ONE]), Members([TWO])), LATER
    )
    assert (after.version, after.modified, after.created) == (2, LATER, NOW)
    assert [event.type for event in published] == [events.UPDATED, events.MEMBERS_ADDED, events.MEMBERS_REMOVED]
    assert published[0].data["changed"] == ["displayName"]
    assert published[0].data["changes"] == [{"path": "displayName", "before": "Tour Guides", "after": "Guides"}]
    assert {event.sequence for event in published} == {2}


def test_other_members_alone_are_a_change_but_no_update_of_attributes() -> None:
    before = a_group()
    after, published = group_domain.change(before, dict(before.attributes), MemberChange(Members([ONE])), LATER)
    assert after.version == 2
    assert [event.type for event in published] == [events.MEMBERS_ADDED]


def test_a_replacement_that_changes_nothing_is_no_change() -> None:
    before = a_group()
    assert group_domain.change(before, dict(before.attributes), NOBODY, LATER) == (before, [])


def test_a_deleted_group_loses_its_members_first() -> None:
    published = group_domain.delete(a_group(), Members([ONE], [STAFF]), LATER)
    assert [event.type for event in published] == [events.MEMBERS_REMOVED, events.NESTING_REMOVED, events.DELETED]
    assert {event.sequence for event in published} == {2}


def test_members_that_are_gone_leave_with_a_new_version() -> None:
    after, published = group_domain.lose_members(a_group(), [ONE], LATER)
    assert (after.version, after.modified) == (2, LATER)
    assert [event.type for event in published] == [events.MEMBERS_REMOVED]


def test_groups_that_come_and_go_are_told_apart_from_users_and_with_their_names() -> None:
    change = MemberChange(Members([ONE], [STAFF]), Members([], [NestedGroup(TWO, "Board")]))
    after, published = group_domain.change(a_group(), a_group().attributes, change, LATER)
    assert [event.type for event in published] == [events.MEMBERS_ADDED, events.NESTING_ADDED, events.NESTING_REMOVED]
    assert published[1].data["groups"] == [{"value": str(STAFF.id), "display": "Staff"}]
    assert published[2].data["groups"] == [{"value": str(TWO), "display": "Board"}]
    assert {event.sequence for event in published} == {after.version} == {2}


def test_a_group_whose_nested_group_goes_gets_a_new_version_and_says_so() -> None:
    after, published = group_domain.lose_nested(a_group(), STAFF, LATER)
    assert (after.version, after.modified) == (2, LATER)
    assert [(event.type, event.subject) for event in published] == [(events.NESTING_REMOVED, f"groups/{GROUP_ID}")]
