"""The index of terms: what a search looks for is what entries were indexed by."""

import re
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from quartet_audit.entries import text_index_domain
from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.term_domain import (
    MAX_KEYS,
    SearchedFacts,
    Terms,
    fact_key,
    parse_network,
    searched_text,
    word_key,
    words,
)
from quartet_audit.entries.text_index_domain import BLOCK, SEGMENT, SLOTS, BlockBuilder, Range, merge, places, ranges

FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def parts(data: Any = None, address: str | None = None, **facts: Any) -> dict[str, bytes | None]:
    usual = {"actor": "okta", "resource": {"type": "users", "id": "2819"}, "trace_id": None}
    encode = msgspec.json.encode
    return {
        "facts": encode({**usual, **facts}),
        "actor": encode({"actor_name": "Olga", "actor_type": "person"}),
        "resource": encode({"resource_name": "bjensen"}),
        "source": None if address is None else encode({"source_address": address, "user_agent": "Mozilla"}),
        "changes": encode({"data": data}),
    }


def text_of(row: dict[str, bytes | None]) -> str:
    return searched_text(msgspec.json.decode(row["facts"] or b"", type=SearchedFacts), row)


def test_the_searched_text_has_ids_names_and_data_and_nothing_else() -> None:
    row = parts({"title": 'a "b"\nc\\d', "number": 12.5, "note": "Straße"}, "192.0.2.7")
    assert text_of(row) == 'okta\n2819\nolga\nbjensen\n{"title":"a "b"\nc\\d","number":12.5,"note":"strasse"}'


def test_erased_parts_have_no_text() -> None:
    row = {**parts({"title": "x"}), "actor": None, "resource": None, "changes": None}
    assert text_of(row) == "okta\n2819\n"


def test_an_escaped_letter_is_the_letter() -> None:
    row = {**parts(), "changes": b'{"data":{"name":"J\\u00e9r\\u00f4me \\/ x\\ty"}}'}
    assert words(text_of(row)) >= {"jérôme".encode(), b"x", b"y"}


@pytest.mark.parametrize("text", ["", "a b", "user-7@example.com", "a_b\tc", "é ascii", "-- \x00 ~", "A1 2.5"])
def test_words_are_the_same_in_ascii_and_in_other_texts(text: str) -> None:
    expected = {word.encode() for word in re.findall(r"\w+", text)}
    assert words(text) == expected
    assert words(f"{text} \N{EN DASH}") == expected


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ({"text": ("olga",)}, True),
        ({"text": ("olg",)}, False),
        ({"text": ("lga",)}, False),
        ({"text": ("user@example.com", "okta")}, True),
        ({"text": ("user@example",)}, True),
        ({"text": ("user@example.co",)}, False),
        ({"text": ("person",)}, False),
        ({"text": ("mozilla",)}, False),
        ({"trace_id": "5" * 32}, True),
        ({"trace_id": "6" * 32}, False),
        ({"address": ip_network("192.0.2.0/25")}, True),
        ({"address": ip_network("192.0.2.128/25")}, False),
        ({"address": ip_network("::/0")}, False),
    ],
    ids=str,
)
def test_an_entry_that_is_found_has_the_keys_that_are_looked_up(query: dict[str, Any], is_found: bool) -> None:
    row = parts({"mail": "user@example.com"}, "192.0.2.7", trace_id="5" * 32)
    terms = Terms(Search(**query))
    assert terms.are_in(row) == is_found
    if is_found:
        builder = BlockBuilder(SEGMENT)
        builder.add([row])
        [postings] = builder.build(FIRST, LAST).postings.values()
        assert all(places(postings, key) == {0} for key in terms.keys)


@pytest.mark.parametrize("address", ["nowhere", "192.0.2.300", ""])
def test_an_address_that_is_none_is_in_no_network(address: str) -> None:
    assert not Terms(Search(address=ip_network("0.0.0.0/0"))).are_in(parts(address=address))


@pytest.mark.parametrize("address", ["::ffff:192.0.2.7", "192.0.2.7"])
def test_an_ipv4_address_in_ipv6_is_that_of_ipv4(address: str) -> None:
    for network in ("192.0.2.7", "192.0.2.0/24", "::ffff:192.0.2.0/120"):
        assert Terms(Search(address=parse_network(network))).are_in(parts(address=address))


def test_a_zone_of_an_address_is_ignored() -> None:
    assert Terms(Search(address=parse_network("fe80::1"))).are_in(parts(address="fe80::1%eth0"))


@pytest.mark.parametrize(
    ("network", "keys"), [("10.1.2.3", 1), ("10.0.0.0/9", 1), ("10.0.0.0/7", 0), ("2001:db8::/32", 1), ("2000::/8", 0)]
)
def test_a_network_is_looked_up_by_a_larger_one_if_that_is_indexed(network: str, keys: int) -> None:
    assert len(Terms(Search(address=ip_network(network, strict=False))).keys) == keys


def test_of_many_words_the_longest_are_looked_up() -> None:
    terms = Terms(Search(text=("a", "bb", "ccc", "dddd", "eeeee", "ffffff")))
    assert terms.keys == [word_key(word) for word in ("ffffff", "eeeee", "dddd", "ccc")]
    assert len(terms.keys) == MAX_KEYS


def test_segments_merge_to_what_their_entries_give_as_a_block() -> None:
    rows = [parts({"n": f"number{n}", "half": n % 2}, f"10.0.{n % 7}.1", trace_id=f"{n % 9:032}") for n in range(BLOCK)]
    whole = BlockBuilder(BLOCK)
    whole.add(rows)
    segments = []
    for start in range(0, BLOCK, SEGMENT):
        builder = BlockBuilder(SEGMENT)
        builder.add(rows[start : start + SEGMENT])
        segments.append(builder.build(FIRST, LAST))
    block = whole.build(FIRST, LAST)
    assert merge(segments) == block
    key = word_key("number4000")
    assert places(block.postings[key % SLOTS], key) == {4000}
    key = fact_key("trace_id", f"{3:032}")
    assert places(block.postings[key % SLOTS], key) == set(range(3, BLOCK, 9))
    assert places(block.postings[key % SLOTS], key + 1) == set()
    assert len(segments[0].postings[0]) > 6 * 5 * SEGMENT
    common = word_key("okta")
    assert places(segments[0].postings[0], common) == set(range(SEGMENT))
    assert places(block.postings[common % SLOTS], common) == set(range(BLOCK))
    assert max(map(len, block.postings.values())) < 6 * 1000


def test_entries_beyond_the_limit_of_postings_are_unlisted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_index_domain, "MAX_POSTINGS", 0.1)
    segments = []
    for _ in range(BLOCK // SEGMENT):
        builder = BlockBuilder(SEGMENT)
        builder.add([parts({"n": n}) for n in range(SEGMENT)])
        segments.append(builder.build(FIRST, LAST))
    listed = places(segments[0].postings[0], word_key("okta"))
    assert 0 < len(listed) < 10
    assert listed.isdisjoint(segments[0].unlisted)
    assert len(listed) + len(segments[0].unlisted) == SEGMENT
    assert merge(segments).unlisted[-1] == BLOCK - 1


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([], []),
        ([(0, SEGMENT - 1)], []),
        ([(0, SEGMENT)], [Range(0, SEGMENT)]),
        ([(10, 2 * SEGMENT)], [Range(SEGMENT, SEGMENT)]),
        ([(0, BLOCK + 600)], [Range(BLOCK, SEGMENT), Range(0, BLOCK)]),
        ([(7 * SEGMENT, 2 * BLOCK)], [Range(BLOCK, BLOCK), Range(7 * SEGMENT, SEGMENT)]),
        ([(0, BLOCK), (3 * BLOCK, 4 * BLOCK + 1)], [Range(3 * BLOCK, BLOCK), Range(0, BLOCK)]),
    ],
)
def test_gaps_are_filled_by_blocks_and_segments_the_newest_first(
    gaps: list[tuple[int, int]], expected: list[Range]
) -> None:
    assert ranges(gaps) == expected
