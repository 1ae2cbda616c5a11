"""The rules for users."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from quartet_users.users import user_domain, user_events

USER_ID = UUID("01a20458-d3da-70f4-b50d-2a76abd0b72c")
NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def a_user(**attributes: object) -> user_domain.User:
    user, _ = user_domain.create(USER_ID, {"schemas": ["core"], "userName": "BJensen", **attributes}, NOW)
    return user


def test_a_new_user_has_version_one_and_tells_that_it_was_created() -> None:
    user, published = user_domain.create(USER_ID, {"userName": "BJensen", "active": False, "externalId": "e1"}, NOW)
    assert (user.version, user.created, user.modified) == (1, NOW, NOW)
    assert [event.type for event in published] == [user_events.CREATED]
    assert published[0].subject == f"users/{USER_ID}"
    assert published[0].sequence == 1
    assert published[0].data == {
        "id": str(USER_ID), "userName": "BJensen", "displayName": None, "externalId": "e1", "active": False,
    }  # fmt: skip


def test_user_names_that_differ_in_case_only_have_one_key() -> None:
    assert a_user(userName="BJENSEN").user_name_key == a_user(userName="bjensen").user_name_key


def test_a_new_user_is_active_unless_it_says_otherwise() -> None:
    user, published = user_domain.create(USER_ID, {"userName": "b"}, NOW)
    assert user.attributes["active"] is published[0].data["active"] is True
    assert a_user(active=False).attributes["active"] is False


def test_a_change_without_active_keeps_it_and_is_no_change_of_it() -> None:
    sent = {"schemas": ["core"], "userName": "BJensen"}
    for active in (True, False):
        before = a_user(active=active)
        assert user_domain.change(before, dict(sent), LATER) == (before, [])
        after, published = user_domain.change(before, {**sent, "title": "Guide"}, LATER)
        assert (after.attributes["active"], published[0].data["active"]) == (active, active)


def test_a_change_raises_the_version_and_names_what_differs() -> None:
    before = a_user(displayName="Babs", title="Guide")
    after, published = user_domain.change(
        before, {"schemas": ["x"], "userName": "BJensen", "displayName": "Barbara"}, LATER
    )
    assert (after.version, after.created, after.modified) == (2, NOW, LATER)
    assert published[0].type == user_events.UPDATED
    assert published[0].sequence == 2
    assert published[0].data["changed"] == ["displayName", "title"]
    assert published[0].data["changes"] == [
        {"path": "displayName", "before": "Babs", "after": "Barbara"},
        {"path": "title", "before": "Guide"},
    ]


def test_a_replacement_that_changes_nothing_is_no_change() -> None:
    before = a_user(displayName="Babs")
    after, published = user_domain.change(before, dict(before.attributes), LATER)
    assert after is before
    assert published == []


def test_a_new_password_alone_is_a_change_whose_event_does_not_hold_it() -> None:
    before = a_user()
    after, published = user_domain.change(before, dict(before.attributes), LATER, new_password=True)
    assert after.version == 2
    assert published[0].data["changed"] == ["password"]
    assert published[0].data["changes"] == [{"path": "password", "before": "***", "after": "***"}]
    assert set(published[0].data) == {"id", "userName", "displayName", "externalId", "active", "changed", "changes"}


def test_a_deletion_counts_as_the_newest_of_the_users_events() -> None:
    published = user_domain.delete(a_user())
    assert [(event.type, event.sequence) for event in published] == [(user_events.DELETED, 2)]
