"""The Merkle tree of a log (RFC 6962 section 2.1, RFC 9162 section 2.1): hashes, frontiers, tiles and proofs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
"""Hashes in a full tile (C2SP tlog-tiles, "Merkle Tree")."""

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf (RFC 9162 section 2.1.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node over `left` and `right` (RFC 9162 section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """What appending needs of a tree: the roots of its complete subtrees, the largest and leftmost first.

    There is one for each bit of `size`, so at most 63.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def grow(self, leaf_hashes: Sequence[bytes]) -> "Frontier":
        """The frontier after `leaf_hashes` were appended."""
        size, hashes = self.size, list(self.hashes)
        for added in leaf_hashes:
            node, rest = added, size
            while rest & 1:
                node = node_hash(hashes.pop(), node)
                rest >>= 1
            hashes.append(node)
            size += 1
        return Frontier(size, tuple(hashes))

    def root(self) -> bytes:
        """The root hash of the tree."""
        return fold(self.hashes) if self.hashes else EMPTY_ROOT

    def encode(self) -> bytes:
        """The hashes, one after the other."""
        return b"".join(self.hashes)

    @classmethod
    def decode(cls, size: int, encoded: bytes) -> "Frontier":
        """The frontier of a tree of `size` from what `encode` returned."""
        return cls(size, tuple(split_hashes(encoded)))


def split_hashes(encoded: bytes) -> list[bytes]:
    """The hashes of 32 bytes in `encoded`."""
    return [encoded[start : start + HASH_BYTES] for start in range(0, len(encoded), HASH_BYTES)]


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over the roots of neighbouring subtrees that get smaller from left to right."""
    *left, node = hashes
    for sibling in reversed(left):
        node = node_hash(sibling, node)
    return node


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, or over roots of subtrees of one size."""
    return Frontier().grow(hashes).root()


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """The root of a complete subtree: over a power of two of hashes. Twice as fast as `tree_root`."""
    while len(hashes) > 1:
        hashes = [
            sha256(b"\x01" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)
        ]
    return hashes[0]


class TileAddress(NamedTuple):
    """A tile: `level` counts from the leaves, `index` from the left."""

    level: int
    index: int  # type: ignore[assignment]  # hides a method of tuples that nothing calls


def tile_width(address: TileAddress, size: int) -> int:
    """How many hashes the tile at `address` has in a tree of `size`: 0 beyond its end, TILE_WIDTH when it is full."""
    complete = size >> (TILE_HEIGHT * address.level)
    return max(0, min(TILE_WIDTH, complete - address.index * TILE_WIDTH))


class Subtree(NamedTuple):
    """The complete subtree of `1 << height` leaves that starts at leaf `index << height`."""

    height: int
    index: int  # type: ignore[assignment]  # as above


def subtrees(start: int, end: int) -> Iterator[Subtree]:
    """The complete subtrees that together cover the leaves from `start` to `end`, from left to right.

    `start` is a multiple of the largest power of two below `end - start`, as in every range of RFC 9162.
    """
    while start < end:
        height = (end - start).bit_length() - 1
        yield Subtree(height, start >> height)
        start += 1 << height


def _split(size: int) -> int:
    """The largest power of two smaller than `size`: k of RFC 9162 section 2.1.1."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose roots prove the leaf at `index` in a tree of `size`, its sibling first.

    PATH of RFC 9162 section 2.1.3.1. Needs 0 <= index < size.
    """
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(old: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose roots prove that the tree of `size` extends that of `old` (RFC 9162 section 2.1.4.1).

    Needs 0 < old <= size.
    """
    start, end, whole = 0, size, True
    path = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start, whole = middle, False
    return [*([] if whole else [(start, end)]), *path[::-1]]


def tiles_of(ranges: Sequence[tuple[int, int]]) -> set[TileAddress]:
    """The tiles that hold what `range_root` needs for `ranges`."""
    return {_place(subtree)[0] for start, end in ranges for subtree in subtrees(start, end)}


def range_root(start: int, end: int, tile: Callable[[TileAddress], Sequence[bytes]]) -> bytes:
    """The root of the leaves from `start` to `end`; `tile` returns the hashes of a tile."""
    roots = []
    for subtree in subtrees(start, end):
        address, first, count = _place(subtree)
        roots.append(subtree_root(tile(address)[first : first + count]))
    return fold(roots)


def _place(subtree: Subtree) -> tuple[TileAddress, int, int]:
    """The tile whose hashes make up `subtree`, the first of them in the tile, and their number."""
    level, height = divmod(subtree.height, TILE_HEIGHT)
    first = subtree.index << height
    return TileAddress(level, first // TILE_WIDTH), first % TILE_WIDTH, 1 << height
