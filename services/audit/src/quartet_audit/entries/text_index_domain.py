"""The index of terms: which terms an entry has, how a block of entries stores them, and what a search looks for."""

import re
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import islice
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from quartet_audit.entries.entry_domain import Network, Search
from quartet_audit.leaves.part_domain import Actor, ResourceName, Source

Parts = Mapping[str, Any]
"""A row with the JSON of each part, `facts`, `actor`, `resource`, `source` and `changes`, or None."""

SEGMENT = 512
"""Entries of a segment. Sizes and SLOTS are also in the migration of searches."""
BLOCK = 8 * SEGMENT
"""Entries of a block."""
SLOTS = 1024
"""Rows of a block, by the low bits of the key; a segment has one row."""
COMMON = BLOCK // 8
"""A term that more entries of a block have than these has one posting, with the place EVERYWHERE."""
EVERYWHERE = 0xFFFF
ALL_PLACES = frozenset(range(BLOCK))
MAX_POSTINGS = 256
"""Postings of an entry on average in a segment or block; the entries that have more together are unlisted."""
MAX_KEYS = 4
"""Terms of one search that are looked up; the others only count when entries are read."""

WORD = re.compile(r"\w+")
SEPARATED = bytes(code if WORD.fullmatch(chr(code)) else 32 for code in range(128)) + bytes(128)
"""Replaces each ASCII character that is no part of a word by a space."""
ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
NETWORKS = {4: (32, 24, 16, 8), 6: (128, 64, 48, 32)}
"""The lengths of the prefixes of an address that are terms."""
DATA = len(b'{"data":')
"""Where the data begins in the part `changes`."""
POSTING = struct.calcsize("<IH")


class Id(msgspec.Struct):
    """The resource of an entry."""

    type: str
    id: str


class SearchedFacts(msgspec.Struct):
    """The facts that are searched by terms."""

    actor: str
    resource: Id
    trace_id: str | None


_facts = msgspec.json.Decoder(SearchedFacts).decode
_actor = msgspec.json.Decoder(Actor).decode
_resource = msgspec.json.Decoder(ResourceName).decode
_source = msgspec.json.Decoder(Source).decode


class Range(NamedTuple):
    """The entries from `start` on: as many as a block or a segment has."""

    start: int
    length: int


@dataclass(frozen=True)
class Block:
    """The index of a block or segment: times of its entries, their postings by slot, places of entries without."""

    first_time: datetime
    last_time: datetime
    postings: dict[int, bytes]
    unlisted: list[int]


def ranges(gaps: Iterable[tuple[int, int]]) -> list[Range]:
    """The blocks, and the segments where no whole block is, that `gaps` in the index have; the newest first."""
    found = []
    for first, after in gaps:
        start = -(-first // SEGMENT) * SEGMENT
        while start + SEGMENT <= after:
            is_block = start % BLOCK == 0 and start + BLOCK <= after
            found.append(Range(start, BLOCK if is_block else SEGMENT))
            start += found[-1].length
    return found[::-1]


def searched_text(facts: SearchedFacts, parts: Parts) -> str:
    """What `text` looks at, in lower case: the ids of actor and resource, their names, and the JSON of the data."""
    changes = (parts["changes"] or b"")[DATA:-1].decode()
    if "\\" in changes:
        changes = ESCAPE.sub(_unescaped, changes)
    names = (
        _actor(parts["actor"]).actor_name if parts["actor"] else None,
        _resource(parts["resource"]).resource_name if parts["resource"] else None,
    )
    texts = (facts.actor, facts.resource.id, *(name for name in names if name), changes)
    return "\n".join(texts).casefold()


def _unescaped(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    return ESCAPED.get(escape[2], escape[2])


def address_of(parts: Parts) -> IPv4Address | IPv6Address | None:
    """The source address of an entry; None if it has none, or a text that is no address."""
    text = _source(parts["source"]).source_address if parts["source"] else None
    return None if text is None else parse_address(text)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`, that of IPv4 if it is mapped (RFC 4291 section 2.5.5.2), without a zone."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def words(text: str) -> set[bytes]:
    """The words in a text, as WORD finds them; in ASCII in a tenth of the time."""
    if text.isascii():
        return set(text.encode().translate(SEPARATED).split())
    return {_encoded(word) for word in WORD.findall(text)}


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def word_key(word: str) -> int:
    """The key of a word."""
    return crc32(_encoded(word))


def fact_key(kind: str, value: str) -> int:
    """The key of another term; words have no NUL character."""
    return crc32(_encoded(f"{kind}\0{value}"))


def network_keys(address: IPv4Address | IPv6Address) -> list[int]:
    """The keys of the networks that `address` is in."""
    return [_network_key(address.version, int(address), length) for length in NETWORKS[address.version]]


def _network_key(version: int, address: int, length: int) -> int:
    bits = NETWORKS[version][0]
    return fact_key("address", f"{version}/{length}/{address >> (bits - length)}")


class BlockBuilder:
    """Collects the terms of the entries of a block, or of a segment, in their order."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._pairs = array("Q")
        self._unlisted: list[int] = []
        self._entries = 0
        self._known: dict[bytes | str, Sequence[int]] = {}
        """The keys of sources and resource types, which are few."""

    def add(self, rows: Iterable[Parts]) -> None:
        """Add the next entries."""
        most = MAX_POSTINGS * self._length
        for parts in rows:
            keys, place = self._keys_of(parts), self._entries
            if len(self._pairs) + len(keys) > most:
                self._unlisted.append(place)
            else:
                self._pairs.extend([key << 16 | place for key in keys])
            self._entries += 1

    def _keys_of(self, parts: Parts) -> set[int]:
        facts = _facts(parts["facts"])
        keys = set(map(crc32, words(searched_text(facts, parts))))
        kind, source = facts.resource.type, parts["source"]
        if (found := self._known.get(kind)) is None:
            found = self._known[kind] = [fact_key("resource_type", kind)]
        keys.update(found)
        if facts.trace_id is not None:
            keys.add(fact_key("trace_id", facts.trace_id))
        if source is not None:
            if (found := self._known.get(source)) is None:
                address = address_of(parts)
                found = self._known[source] = [] if address is None else network_keys(address)
            keys.update(found)
        return keys

    def build(self, first_time: datetime, last_time: datetime) -> Block:
        """The index of the entries so far, whose times are between the two."""
        if self._length == BLOCK:
            keys = array("I", (pair >> 16 for pair in self._pairs))
            postings = _by_slot([(0, keys, array("H", (pair & 0xFFFF for pair in self._pairs)))])
        else:
            postings = {0: _encode(self._pairs)}
        return Block(first_time, last_time, postings, self._unlisted)


def merge(segments: Sequence[Block]) -> Block:
    """The block of its segments, in their order."""
    starts = range(0, BLOCK, SEGMENT)
    unlisted = [place + start for start, one in zip(starts, segments, strict=True) for place in one.unlisted]
    postings = _by_slot([(start, *_decode(one.postings[0])) for start, one in zip(starts, segments, strict=True)])
    first = min(segment.first_time for segment in segments)
    return Block(first, max(segment.last_time for segment in segments), postings, unlisted)


def _by_slot(parts: Sequence[tuple[int, Sequence[int], Sequence[int]]]) -> dict[int, bytes]:
    """The postings of a block, by slot: of each part the place of its first entry, keys, and places from there.

    A common term gets one posting instead; most are of common terms, so they are counted first.
    """
    counts: Counter[int] = Counter()
    for _, keys, _ in parts:
        counts.update(keys)
    common = {key for key, count in counts.items() if count > COMMON}
    slots: dict[int, list[int]] = {0: []}
    for key in common:
        slots.setdefault(key % SLOTS, []).append(key << 16 | EVERYWHERE)
    for start, keys, places_ in parts:
        for key, place in zip(keys, places_, strict=True):
            if key not in common:
                slots.setdefault(key % SLOTS, []).append(key << 16 | place + start)
    return {slot: _encode(slots[slot]) for slot in sorted(slots)}


def _encode(pairs: Iterable[int]) -> bytes:
    """Keys in their order (32 bits each), then the place of each (16 bits), little-endian."""
    ordered = sorted(pairs)
    keys, at = [pair >> 16 for pair in ordered], [pair & 0xFFFF for pair in ordered]
    return struct.pack(f"<{len(ordered)}I{len(ordered)}H", *keys, *at)


def _decode(postings: bytes) -> tuple["array[int]", "array[int]"]:
    """Keys and places; arrays, since those of a block would have 16 MB as objects."""
    count = len(postings) // POSTING
    keys, at = array("I", postings[: 4 * count]), array("H", postings[4 * count :])
    if sys.byteorder == "big":
        keys.byteswap()
        at.byteswap()
    return keys, at


def encode_key(key: int) -> bytes:
    """The bytes of a key in a row of postings."""
    return struct.pack("<I", key)


def places(postings: bytes, key: int) -> Set[int]:
    """The places in a block or segment of the entries that have, or may have, the term of `key`."""
    count = len(postings) // POSTING
    first = bisect_left(range(count), key, key=lambda place: _key_at(postings, place))
    end = bisect_right(range(count), key, first, key=lambda place: _key_at(postings, place))
    found = set(struct.unpack_from(f"<{end - first}H", postings, 4 * count + 2 * first))
    return ALL_PLACES if EVERYWHERE in found else found


def _key_at(postings: bytes, place: int) -> int:
    return int.from_bytes(postings[4 * place : 4 * place + 4], "little")


class Terms:
    """What a search asks for beyond the columns of `entries`: `keys` to look up, and a check of the parts."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._pieces = [(piece, _pattern(piece)) for piece in search.text]
        self.keys = list(islice(_search_keys(search), MAX_KEYS))

    def are_in(self, parts: Parts) -> bool:
        """Whether an entry with `parts` has all of them."""
        search = self._search
        facts = _facts(parts["facts"])
        if search.trace_id is not None and facts.trace_id != search.trace_id:
            return False
        if search.address is not None and not _is_in(address_of(parts), search.address):
            return False
        if not self._pieces:
            return True
        text = searched_text(facts, parts)
        return all(piece in text and pattern.search(text) for piece, pattern in self._pieces)


def _search_keys(search: Search) -> Iterator[int]:
    """The keys of what is searched, of the rarest kind of term first."""
    if search.trace_id is not None:
        yield fact_key("trace_id", search.trace_id)
    if search.address is not None:
        yield from _covering_key(search.address)
    found = set[str]().union(*(WORD.findall(piece) for piece in search.text))
    yield from map(word_key, sorted(found, key=len, reverse=True))
    if search.resource_type is not None:
        yield fact_key("resource_type", search.resource_type)


def _covering_key(network: Network) -> Iterator[int]:
    """The key of the smallest network of NETWORKS that `network` is in; none for a network that is larger."""
    for length in NETWORKS[network.version]:
        if length <= network.prefixlen:
            yield _network_key(network.version, int(network.network_address), length)
            return


def _is_in(address: IPv4Address | IPv6Address | None, network: Network) -> bool:
    return address is not None and address.version == network.version and address in network


def _pattern(piece: str) -> re.Pattern[str]:
    """Finds `piece` where it does not begin or end inside of a word."""
    before = r"(?<!\w)" if WORD.match(piece) else ""
    after = r"(?!\w)" if WORD.match(piece[-1]) else ""
    return re.compile(before + re.escape(piece) + after)


def parse_network(text: str) -> Network:
    """An address or CIDR; a mapped one is that of IPv4. Raises ValueError."""
    network = ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return ip_network((mapped, network.prefixlen - 96))
