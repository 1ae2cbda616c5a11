"""Erasure of a person: the names that the log has of a user, and what counts as a mention."""

import json
from typing import Any

import pytest

from quartet_audit.erasures.erasure_domain import MAX_NAMES, Mentions, names_as_actor, names_as_resource, recorded_names
from quartet_audit.leaves.leaf_domain import PERSONAL_PARTS

USER = "019a2b3c-0000-7000-8000-000000000001"


def parts(**given: dict[str, Any]) -> dict[str, bytes | None]:
    return {name: json.dumps(given[name]).encode() if name in given else None for name in PERSONAL_PARTS}


def data(**given: Any) -> dict[str, bytes | None]:
    return parts(changes={"data": given})


def test_the_names_of_a_resource_are_its_user_names_and_e_mail_addresses() -> None:
    entry = parts(
        resource={"resource_name": "Barbara Jensen"},
        changes={
            "data": {
                "userName": "bjensen",
                "displayName": "Babs",
                "emails": [{"value": "babs@example.com", "type": "home"}],
                "changed": {"userName": {"before": "old name", "after": "bjensen"}, "title": {"after": "a @ b"}},
            }
        },
    )
    assert names_as_resource(entry) == {"Barbara Jensen", "bjensen", "babs@example.com", "old name"}


def test_the_data_of_what_a_user_did_has_names_of_others() -> None:
    entry = parts(actor={"actor_name": "bjensen", "actor_type": "user"}, changes={"data": {"userName": "another"}})
    assert names_as_actor(entry) == {"bjensen"}
    assert names_as_actor(data(userName="another")) == set()
    assert names_as_resource(parts()) == set()


@pytest.mark.parametrize(
    "entry",
    [
        data(members=[{"value": USER}]),
        data(path=f"/scim/v2/Users/{USER.upper()}"),
        data(userName="BJensen@Example.com"),
        data(note="a mail\nbjensen@example.com, it bounced"),
        data(**{"bjensen@example.com": 1}),
        data(name="Zoë"),
        data(path="/people/ZOË/photo"),
        parts(source={"source_address": None, "user_agent": "client of bjensen@example.com"}),
        parts(resource={"resource_name": "bjensen@example.com"}),
        parts(actor={"actor_name": "bjensen@example.com", "actor_type": None}),
    ],
)
def test_the_id_and_names_are_found_in_every_part_whatever_their_case(entry: dict[str, bytes | None]) -> None:
    assert Mentions({USER, "bjensen@example.com", "zoë"}).are_in(entry)


@pytest.mark.parametrize(
    "entry",
    [
        parts(),
        data(value=USER[:-1]),
        data(value=USER + "0"),
        data(name="abjensen@example.com"),
        data(name="bjensen@example.community"),
        data(scopes=["tenant:zoë"], text="Zoë did it", path="/zoëlla"),
        data(number=1),
    ],
)
def test_what_only_resembles_them_is_no_mention(entry: dict[str, bytes | None]) -> None:
    assert not Mentions({USER, "bjensen@example.com", "zoë"}).are_in(entry)


@pytest.mark.parametrize("values", [{"zoë"}, {USER}])
def test_values_may_be_all_short_or_all_long(values: set[str]) -> None:
    assert Mentions(values).are_in(data(id=next(iter(values))))
    assert not Mentions(values).are_in(data(id="somebody else"))


NAMES = {"Mozilla", "displayName", "user", "client"}


@pytest.mark.parametrize(
    "entry",
    [
        parts(source={"source_address": "192.0.2.7", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)"}),
        data(displayName="another", user={"client": 1}),
        data(emails=[{"value": "x@example.com", "type": "client"}]),
        parts(actor={"actor_name": None, "actor_type": "user"}),
        parts(actor={"actor_name": "another", "actor_type": "client"}),
    ],
)
def test_a_name_is_no_mention_where_all_entries_have_the_same_words(
    entry: dict[str, bytes | None],
) -> None:
    assert not Mentions(NAMES).are_in(entry)


def test_such_a_name_is_still_found_where_values_are() -> None:
    mentions = Mentions(NAMES)
    assert mentions.are_in(data(note="a call from Mozilla."))
    assert mentions.are_in(parts(actor={"actor_name": "user", "actor_type": "client"}))


@pytest.mark.parametrize("value", [USER, "bjensen@example.com"])
def test_ids_and_e_mail_addresses_are_found_in_names_of_members_and_user_agents(value: str) -> None:
    assert Mentions({value}).are_in(data(members={value.upper(): True}))
    assert Mentions({value}).are_in(parts(source={"user_agent": f"phone of {value}"}))


def row(action: str, number: int = 0, *, is_by_user: bool = False) -> dict[str, Any]:
    entry = parts(actor={"actor_name": f"actor {number}"}, changes={"data": {"userName": f"name {number}"}})
    return {"action": action, "is_by_user": is_by_user, "is_of_user": not is_by_user, **entry}


def test_names_come_from_the_events_of_users_and_from_no_application() -> None:
    rows = [row("app.users.user.created.v1", 1), row("groups.group.created", 2), row("users.user.updated", 3)]
    assert recorded_names([*rows, row("app.order.placed.v1", 4, is_by_user=True)]) == {"name 3", "actor 4"}


def test_the_names_of_a_user_are_limited() -> None:
    rows = [row("users.user.updated", number) for number in range(MAX_NAMES + 5)]
    first = recorded_names(rows[:3])
    names = recorded_names(rows[3:], first)
    assert first == {"name 0", "name 1", "name 2"} < names
    assert len(names) == MAX_NAMES


@pytest.mark.parametrize("value", ["+jensen", "jensen+", "a-jensen b", "@jensen@", "ßjensen"])
@pytest.mark.parametrize(("before", "after"), [("", ""), ("to ", "!"), ("/", "/"), ("é", ""), ("", "x"), ("x ", "_")])
def test_a_word_ends_where_no_letter_digit_or_underscore_follows(value: str, before: str, after: str) -> None:
    is_word = (before, after) in {("", ""), ("to ", "!"), ("/", "/")}
    assert Mentions({value}).are_in(data(text=before + value.upper() + after)) is is_word


def test_a_value_without_letters_is_found_as_a_whole_text() -> None:
    assert Mentions({"--------"}).are_in(data(text="--------"))
    assert not Mentions({"--------"}).are_in(data(text="x -------- x"))
