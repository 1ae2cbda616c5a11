"""The Merkle tree: the reference trees, and roots, tiles and proofs against whole trees computed as in the RFC."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_audit.trees.tree_domain import (
    EMPTY_ROOT,
    TILE_WIDTH,
    Frontier,
    TileAddress,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    range_root,
    tile_width,
    tiles_of,
    tree_root,
)
from quartet_testing.merkle import REFERENCE_LEAVES, REFERENCE_ROOTS, WholeTree, is_consistent, proven_root

MANY = 70_000
HASHES = [sha256(b"\x00" + number.to_bytes(4, "big")).digest() for number in range(MANY)]
TREE = WholeTree(HASHES)
BOUNDARIES = (1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, 70_000)
SIZES = st.integers(1, 4096) | st.sampled_from(BOUNDARIES)


def stored_tile(address: TileAddress, size: int) -> list[bytes]:
    """The tile as tlog-tiles defines it: MTH(D[(n*256+i)*256^l : (n*256+i+1)*256^l]) for each i below the width."""
    span = 256**address.level
    first = address.index * 256
    count = min(256, size // span - first)
    return [TREE.root((first + i) * span, (first + i + 1) * span) for i in range(count)]


def reading(size: int, ranges: Sequence[tuple[int, int]]) -> Callable[[TileAddress], list[bytes]]:
    """Reads the tiles that `ranges` need, and no others."""
    tiles = {address: stored_tile(address, size) for address in tiles_of(ranges)}
    return tiles.__getitem__


def hashes_of(size: int, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    tile = reading(size, ranges)
    return [range_root(start, end, tile) for start, end in ranges]


@pytest.mark.parametrize("size", range(9))
def test_the_reference_trees_have_their_roots(size: int) -> None:
    hashes = [leaf_hash(leaf) for leaf in REFERENCE_LEAVES[:size]]
    assert Frontier().grow(hashes).root() == REFERENCE_ROOTS[size]
    assert WholeTree(hashes).root(0, size) == REFERENCE_ROOTS[size]


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, ""),
        (
            0,
            8,
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ),
        (
            5,
            8,
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
        (2, 3, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (
            1,
            5,
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ),
    ],
)
def test_the_reference_trees_have_their_inclusion_proofs(index: int, size: int, path: str) -> None:
    tile = [leaf_hash(leaf) for leaf in REFERENCE_LEAVES[:size]]
    assert b"".join(range_root(*one, lambda _: tile) for one in inclusion_ranges(index, size)).hex() == path


@pytest.mark.parametrize(
    ("old", "size", "path"),
    [
        (1, 1, ""),
        (
            1,
            8,
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ),
        (
            6,
            8,
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
        (
            2,
            5,
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ),
    ],
)
def test_the_reference_trees_have_their_consistency_proofs(old: int, size: int, path: str) -> None:
    tile = [leaf_hash(leaf) for leaf in REFERENCE_LEAVES[:size]]
    assert b"".join(range_root(*one, lambda _: tile) for one in consistency_ranges(old, size)).hex() == path


@given(st.data(), SIZES)
def test_an_frontier_is_that_of_the_whole_tree_however_the_leaves_are_split_into_batches(
    data: st.DataObject, size: int
) -> None:
    frontier, start = Frontier(), 0
    for end in [*sorted(data.draw(st.sets(st.integers(0, size), max_size=6))), size]:
        frontier = frontier.grow(HASHES[start:end])
        start = end
        assert frontier.size == end
        assert frontier.root() == TREE.root(0, end)
        assert len(frontier.hashes) == end.bit_count()
        assert Frontier.decode(frontier.size, frontier.encode()) == frontier


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == tree_root([]) == REFERENCE_ROOTS[0]
    assert Frontier.decode(0, b"") == Frontier()


@given(st.data(), SIZES)
def test_an_inclusion_proof_is_that_of_the_rfc(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = hashes_of(size, inclusion_ranges(index, size))
    assert hashes == TREE.path(index, 0, size)
    assert proven_root(index, size, HASHES[index], hashes) == TREE.root(0, size)


@given(st.data(), SIZES)
def test_a_consistency_proof_is_that_of_the_rfc(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size) | st.sampled_from([one for one in BOUNDARIES if one <= size]))
    hashes = hashes_of(size, consistency_ranges(old, size))
    assert hashes == TREE.proof(old, size)
    assert is_consistent(old, size, (TREE.root(0, old), TREE.root(0, size)), hashes)


@pytest.mark.parametrize("size", [255, 256, 257, 65_535, 65_536, 65_537, 65_792, 70_000])
def test_proofs_read_few_tiles_and_none_beyond_the_tree(size: int) -> None:
    for index in {0, 255, 256, size // 2, size - 1} & set(range(size)):
        tiles = tiles_of(inclusion_ranges(index, size))
        assert len(tiles) <= 6
        assert all(tile_width(address, size) for address in tiles)


@pytest.mark.parametrize(
    ("level", "index", "size", "width"),
    [
        (0, 272, 70_000, 256),
        (0, 273, 70_000, 112),
        (0, 274, 70_000, 0),
        (1, 0, 70_000, 256),
        (1, 1, 70_000, 17),
        (2, 0, 70_000, 1),
        (3, 0, 70_000, 0),
        (63, 0, 70_000, 0),
        (0, 0, 256, 256),
        (1, 0, 256, 1),
        (1, 0, 255, 0),
        (0, 0, 0, 0),
    ],
)
def test_tiles_are_as_wide_as_tlog_tiles_says(level: int, index: int, size: int, width: int) -> None:
    """tlog-tiles, "Partial Tiles": its examples of 70,000 and 256 leaves."""
    assert tile_width(TileAddress(level, index), size) == width


@given(SIZES)
def test_all_tiles_together_hold_floor_of_size_over_256_to_the_level(size: int) -> None:
    for level in range(4):
        widths = [tile_width(TileAddress(level, index), size) for index in range(size // 256 ** (level + 1) + 2)]
        assert sum(widths) == size // 256**level
        assert widths == sorted(widths, reverse=True)
        assert max(widths) <= TILE_WIDTH
