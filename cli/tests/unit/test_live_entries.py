"""The live tail: entries without a gap, also after a connection is lost."""

from quartet_cli.api import Api
from quartet_cli.live_entries import Tail
from quartet_cli.profiles import Profile

API = Api(Profile("http://q", "acme"))


def test_entries_are_read_and_the_next_connection_begins_after_the_last() -> None:
    tail = Tail(API, {})
    lines = [": the log from 7", "", "id: 7", 'data: {"sequence": 7}', "", "id: 9", 'data: {"sequence": 9}', ""]
    assert [one["sequence"] for one in tail.read(lines)] == [7, 9]
    assert tail.last == 9


def test_a_connection_that_was_lost_before_an_entry_continues_where_it_began() -> None:
    tail = Tail(API, {})
    assert list(tail.read([": the log from 7", ""])) == []
    assert tail.last == 6
    assert list(tail.read([": the log from 12", ""])) == []
    assert tail.last == 6
    empty = Tail(API, {})
    assert list(empty.read([": the log from 0", ""])) == []
    assert empty.last is None


def test_an_event_of_which_only_the_id_has_arrived_is_read_again() -> None:
    tail = Tail(API, {}, after=4)
    assert list(tail.read(["id: 7"])) == []
    assert tail.last == 4
    assert list(tail.read(["id: 7", ": heartbeat", ""])) == []
    assert tail.last == 7


def test_the_end_of_a_stream_is_no_entry() -> None:
    assert list(Tail(API, {}).read(["event: end", 'data: {"reason":"token_expired"}', ""])) == []
