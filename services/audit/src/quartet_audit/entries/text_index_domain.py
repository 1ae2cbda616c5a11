"""The index of terms: how a block of entries stores which of them have a term."""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zlib import crc32

from quartet_audit.entries.term_domain import (
    Parts,
    address_of,
    decode_facts,
    fact_key,
    network_keys,
    searched_text,
    words,
)

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
POSTING = struct.calcsize("<IH")


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
        facts = decode_facts(parts["facts"])
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
    if array("H", b"\1\0")[0] != 1:  # on a big-endian processor
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
