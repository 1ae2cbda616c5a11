"""Merkle trees: hashes, a tree that grows in constant memory, and proofs (RFC 9162 section 2.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from quartet_audit_verifier.encoding import HASH_BYTES, FormatError

TILE_WIDTH: Final = 256
TILE_HEIGHT: Final = 8
EMPTY_ROOT: Final = sha256(b"").digest()

RangeHash = Callable[[int, int], bytes]
"""The Merkle tree hash of the leaves from an index to before another one."""


@dataclass(frozen=True)
class Tile:
    """A full tile (tlog-tiles): 256 hashes of one level."""

    level: int
    index: int
    hashes: list[bytes]

    @property
    def place(self) -> tuple[int, int]:
        """Its level and its index."""
        return self.level, self.index

    @property
    def name(self) -> str:
        """Its level and its index, for people."""
        return f"{self.level}/{self.index}"

    def first_leaf(self, position: int) -> int:
        """The first leaf below one of its hashes."""
        return (self.index * TILE_WIDTH + position) << TILE_HEIGHT * self.level


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return sha256(b"\1" + left + right).digest()


def split(count: int) -> int:
    """The largest power of two that is smaller than `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over subtrees of one height; only the last one may be incomplete. Needs at least one."""
    row = list(hashes)
    while len(row) > 1:
        odd = row[-1:] if len(row) % 2 else []
        row = [sha256(b"\1" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)] + odd
    return row[0]


class Tree:
    """A growing tree that keeps the hashes of its partial tiles only: at most 255 for each level."""

    def __init__(self, partial_tiles: Sequence[Sequence[bytes]] = ()) -> None:
        """`partial_tiles` are the hashes of a tree from level 0 on. Raises FormatError for 256 or more of a level."""
        if any(len(hashes) >= TILE_WIDTH for hashes in partial_tiles):
            raise FormatError("a partial tile has 256 hashes or more")
        self._levels = [list(hashes) for hashes in partial_tiles] or [[]]
        self.size = sum(len(hashes) << TILE_HEIGHT * level for level, hashes in enumerate(partial_tiles))

    def append(self, leaf: bytes) -> Sequence[Tile]:
        """Add the hash of a leaf; returns the tiles that are full with it, from level 0 up."""
        self.size += 1
        self._levels[0].append(leaf)
        return () if len(self._levels[0]) < TILE_WIDTH else self._take_full_tiles()

    def replace(self, index: int, leaf: bytes) -> bool:
        """Replace the hash of a leaf; False if its tile is full already."""
        position = index - (self.size - len(self._levels[0]))
        if position < 0:
            return False
        self._levels[0][position] = leaf
        return True

    def root(self, tail: bytes | None = None) -> bytes:
        """The root hash; `tail` is that of an incomplete subtree after all leaves, smaller than one of them."""
        for hashes in self._levels:
            if row := [*hashes, *([] if tail is None else [tail])]:
                tail = root_of(row)
        return EMPTY_ROOT if tail is None else tail

    def partial_tiles(self) -> list[list[bytes]]:
        """The hashes of its partial tiles from level 0 on."""
        return [list(hashes) for hashes in self._levels]

    def tail(self) -> bytes | None:
        """The root of the leaves after the last full tile of level 0; None without any."""
        return root_of(self._levels[0]) if self._levels[0] else None

    def _take_full_tiles(self) -> list[Tile]:
        full: list[Tile] = []
        while len(hashes := self._levels[len(full)]) == TILE_WIDTH:
            level = len(full)
            full.append(Tile(level, (self.size >> TILE_HEIGHT * (level + 1)) - 1, hashes))
            self._levels[level] = []
            if len(self._levels) == level + 1:
                self._levels.append([])
            self._levels[level + 1].append(root_of(hashes))
        return full


def root_of_inclusion(index: int, size: int, leaf: bytes, hashes: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2). Raises FormatError for a wrong length."""
    if not 0 <= index < size:
        raise FormatError(f"its leaf index {index} is not below its tree size {size}")
    node, last, result = index, size - 1, leaf
    for each in hashes:
        if last == 0:
            raise FormatError(f"its inclusion proof has too many hashes ({len(hashes)})")
        if node & 1 or node == last:
            result = node_hash(each, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, each)
        node, last = node >> 1, last >> 1
    if last:
        raise FormatError(f"its inclusion proof has too few hashes ({len(hashes)})")
    return result


def is_consistent(old: tuple[int, bytes], new: tuple[int, bytes], hashes: Sequence[bytes]) -> bool:
    """Whether a proof shows that the tree `old` (size, root) is the beginning of `new` (RFC 9162 section 2.1.4.2)."""
    if old[0] in (0, new[0]):
        return not hashes and old[1] == (EMPTY_ROOT if old[0] == 0 else new[1])
    if old[0] > new[0] or not hashes or any(len(each) != HASH_BYTES for each in hashes):
        return False
    path = [old[1], *hashes] if old[0] & (old[0] - 1) == 0 else list(hashes)
    node, last = old[0] - 1, new[0] - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            before, after = node_hash(each, before), node_hash(each, after)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, each)
        node, last = node >> 1, last >> 1
    return last == 0 and before == old[1] and after == new[1]


def consistency_hashes(old: int, new: int, range_hash: RangeHash) -> list[bytes]:
    """The proof that the tree of `old` leaves is the beginning of that of `new` (RFC 9162 section 2.1.4.1)."""
    return [] if old in (0, new) else _subproof(old, 0, new, range_hash, is_whole=True)


def _subproof(old: int, begin: int, end: int, range_hash: RangeHash, *, is_whole: bool) -> list[bytes]:
    if old == end - begin:
        return [] if is_whole else [range_hash(begin, end)]
    middle = split(end - begin)
    if old <= middle:
        left = _subproof(old, begin, begin + middle, range_hash, is_whole=is_whole)
        return [*left, range_hash(begin + middle, end)]
    right = _subproof(old - middle, begin + middle, end, range_hash, is_whole=False)
    return [*right, range_hash(begin, begin + middle)]
