"""Parameters: what a question may look like."""

from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from quart import Quart

from quartet_audit.entries.entry_domain import BEGINNING, END, Position, Search
from quartet_audit.entries.entry_parameters import read_search, write_cursor
from quartet_common.core.errors import BadRequestError
from quartet_common.web import cursors
from quartet_common.web.cursors import EXTENSION, cursor_key

TIME = datetime(2026, 1, 31, 9, 0, 0, 123456, tzinfo=UTC)


def ask(**parameters: str) -> Search:
    return read_search({name: [text] for name, text in parameters.items()}, "default")


def test_no_parameter_asks_for_the_newest_50_of_everything() -> None:
    assert ask() == Search()
    assert Search().limit == 50
    assert Search().newest_first


def test_an_empty_parameter_is_as_good_as_none() -> None:
    assert ask(**dict.fromkeys(("action", "actor", "resource", "from", "to", "limit", "cursor"), "")) == Search()


def test_filters_are_taken_as_given() -> None:
    search = ask(action="users.user.created", actor="okta", resource="2819", outcome="denied", limit="500", order="asc")
    assert (search.action, search.prefix, search.actor) == ("users.user.created", None, "okta")
    assert (search.resource, search.outcome, search.limit, search.newest_first) == ("2819", "denied", 500, False)


def test_an_action_with_a_star_at_its_end_is_a_prefix() -> None:
    search = ask(action="users.user.*")
    assert (search.action, search.prefix) == (None, "users.user.")


def test_text_is_folded_and_split_at_white_space() -> None:
    assert ask(text=" Straße  BJensen@Example.com bjensen@example.com ").text == ("strasse", "bjensen@example.com")


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ],
)
def test_an_address_is_one_or_a_network(text: str, network: str) -> None:
    assert ask(address=text).address == ip_network(network)


def test_a_refused_address_is_in_the_message() -> None:
    with pytest.raises(BadRequestError, match=r"address must be .*, got '192\.0\.2\.7/24'"):
        ask(address="192.0.2.7/24")


def test_a_trace_id_may_be_in_upper_case() -> None:
    assert ask(trace_id="4BF92F3577B34DA6A3CE929D0E0E4736").trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_from_is_inclusive_and_to_is_exclusive() -> None:
    search = ask(**{"from": "2026-01-31T10:00:00.123456+01:00", "to": "2026-01-31T09:00:00.123457Z"})
    assert search.after < Position(TIME, 0) < search.before
    assert search.before < Position(TIME.replace(microsecond=123457), 0)
    assert (ask(to="2027-01-01T00:00:00Z").after, ask(**{"from": "2027-01-01T00:00:00Z"}).before) == (BEGINNING, END)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("from", "yesterday"),
        ("from", "2026-01-31"),
        ("to", "2026-01-31T09:00:00"),
        ("to", "2026-01-31T09:00:00 01:00"),
        ("to", "9999-12-31T23:59:59-01:00"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "-1"),
        ("limit", "5x"),
        ("limit", "٣"),
        ("order", "newest"),
        ("actor", "a\0b"),
        ("resource", "x" * 1025),
        ("address", "192.0.2"),
        ("address", "192.0.2.7/24"),
        ("address", "192.0.2.0/33"),
        ("address", "2001:db8::/129"),
        ("address", "somewhere"),
        ("trace_id", "4bf92f35"),
        ("trace_id", "g" * 32),
        ("text", "@"),
        ("text", "word @"),
        ("text", " "),
        ("cursor", "AAAA"),
        ("acton", "users.user.created"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_parameter(name: str, text: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(**{name: text})
    assert caught.value.status == 400
    assert caught.value.detail.startswith(f"{name} ")


def test_a_range_that_is_empty_or_backwards_is_refused() -> None:
    for start, end in (("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), ("2026-01-01T00:00:00Z",) * 2):
        with pytest.raises(BadRequestError, match="from must be before to"):
            ask(**{"from": start, "to": end})


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    with pytest.raises(BadRequestError, match="actor must be given once, got 2 values"):
        read_search({"actor": ["a", "b"]}, "default")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of cursors, as a running app has it."""
    app = Quart("test")
    app.extensions[EXTENSION] = cursor_key("secret")
    monkeypatch.setattr(cursors, "current_app", app)


@pytest.mark.usefixtures("key")
def test_a_cursor_leads_on_in_the_same_question_only() -> None:
    question = {"actor": ["okta"], "from": ["2026-01-01T00:00:00Z"]}
    cursor = [write_cursor(question, "default", Position(TIME, 7))]
    search = read_search({**question, "cursor": cursor, "limit": ["7"]}, "default")
    assert search.before == Position(TIME, 7)
    assert search.after == read_search(question, "default").after
    for other in ({}, {"actor": ["entra"]}, {**question, "order": ["asc"]}, {**question, "action": ["x"]}):
        with pytest.raises(BadRequestError, match="cursor is not valid"):
            read_search({**other, "cursor": cursor}, "default")
    with pytest.raises(BadRequestError, match="cursor is not valid"):
        read_search({**question, "cursor": cursor}, "another")


@pytest.mark.usefixtures("key")
def test_a_cursor_of_the_oldest_first_order_goes_upwards() -> None:
    question = {"order": ["asc"]}
    cursor = write_cursor(question, "default", Position(TIME, 7))
    search = read_search({**question, "cursor": [cursor]}, "default")
    assert (search.after, search.before) == (Position(TIME, 7), END)
