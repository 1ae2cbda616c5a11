"""Merkle trees: the known roots of RFC 6962, and every size and index against its definitions."""

import pytest

from quartet_audit_verifier.encoding import FormatError
from quartet_audit_verifier.merkle import (
    EMPTY_ROOT,
    Tile,
    Tree,
    consistency_hashes,
    is_consistent,
    leaf_hash,
    root_of_inclusion,
)
from quartet_testing.audit_bundles import inclusion, mth, partial_tiles, tile

LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The roots of the first 1 to 8 leaves, in the test vectors of RFC 6962's authors (certificate-transparency)."""
HASHES = [leaf_hash(str(number).encode()) for number in range(1100)]


def test_the_roots_are_those_of_the_published_vectors() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    tree = Tree()
    assert tree.root() == EMPTY_ROOT
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        tree.append(leaf_hash(leaf))
        assert tree.root().hex() == root


def test_a_growing_tree_has_the_root_and_the_full_tiles_of_each_size() -> None:
    tree = Tree()
    for size, leaf in enumerate(HASHES, 1):
        tiles = tree.append(leaf)
        if size % 97 in (0, 1) or size % 256 in (0, 1, 255):
            assert tree.root() == mth(HASHES[:size])
            assert [level for level in tree.partial_tiles() if level] == [
                level for level in partial_tiles(size, HASHES) if level
            ]
        assert [each.place for each in tiles] == ([(0, size // 256 - 1)] if size % 256 == 0 else [])
        assert all(each.hashes == tile(0, each.index, HASHES) for each in tiles)


def test_tiles_of_higher_levels_are_full_when_all_below_them_are() -> None:
    tree = Tree([[], HASHES[:255]])
    full = [each for leaf in HASHES[300:556] for each in tree.append(leaf)]
    assert [each.place for each in full] == [(0, 255), (1, 0)]
    assert full[1].hashes == [*HASHES[:255], mth(HASHES[300:556])]
    assert (tree.size, full[1].first_leaf(3)) == (65_536, 768)
    assert tree.root() == mth(full[1].hashes)


@pytest.mark.parametrize("begin", [1, 255, 256, 257, 700, 1024])
def test_a_tree_goes_on_from_its_partial_tiles(begin: int) -> None:
    tree = Tree(partial_tiles(begin, HASHES))
    assert (tree.size, tree.root()) == (begin, mth(HASHES[:begin]))
    for leaf in HASHES[begin:]:
        tree.append(leaf)
    assert tree.root() == mth(HASHES)


def test_a_partial_tile_that_is_full_is_refused() -> None:
    with pytest.raises(FormatError, match="256 hashes or more"):
        Tree([HASHES[:256]])


def test_a_late_leaf_takes_its_place_until_its_tile_is_full() -> None:
    tree = Tree()
    for leaf in [*HASHES[:3], bytes(32), *HASHES[4:10]]:
        tree.append(leaf)
    assert tree.replace(3, HASHES[3])
    assert tree.root() == mth(HASHES[:10])
    for leaf in HASHES[10:256]:
        tree.append(leaf)
    assert not tree.replace(3, HASHES[3])


@pytest.mark.parametrize("size", [*range(1, 18), 255, 256, 257])
def test_inclusion_proofs_lead_to_the_root_and_to_no_other_when_changed(size: int) -> None:
    root = mth(HASHES[:size])
    for index in range(size) if size < 20 else (0, size // 2, size - 1):
        proof = inclusion(index, HASHES[:size])
        assert root_of_inclusion(index, size, HASHES[index], proof) == root
        assert root_of_inclusion(index, size, HASHES[index + 1], proof) != root
        for position in range(len(proof)):
            changed = [*proof[:position], bytes(32), *proof[position + 1 :]]
            assert root_of_inclusion(index, size, HASHES[index], changed) != root
        with pytest.raises(FormatError, match="too many"):
            root_of_inclusion(index, size, HASHES[index], [*proof, root])
        if proof:
            with pytest.raises(FormatError, match="too few"):
                root_of_inclusion(index, size, HASHES[index], proof[:-1])


def test_an_index_outside_of_the_tree_is_refused() -> None:
    for index, size in ((0, 0), (5, 5), (-1, 3)):
        with pytest.raises(FormatError, match="not below its tree size"):
            root_of_inclusion(index, size, HASHES[0], [])


@pytest.mark.parametrize("new", [*range(1, 18), 256, 300])
def test_consistency_proofs_hold_for_each_older_size_and_for_no_other_root(new: int) -> None:
    for old in range(new + 1) if new < 20 else (1, 128, 255, new):
        proof = consistency_hashes(old, new, lambda begin, end: mth(HASHES[begin:end]))
        before, after = (old, mth(HASHES[:old])), (new, mth(HASHES[:new]))
        assert is_consistent(before, after, proof)
        if old > 0:
            assert not is_consistent((old, bytes(32)), after, proof)
        if old not in (0, new):
            assert not is_consistent(before, (new, bytes(32)), proof)
            assert not is_consistent(before, after, proof[:-1])
            assert not is_consistent(before, after, [*proof, bytes(32)])
            assert not is_consistent(before, after, [*proof[:-1], bytes(32)])


def test_the_consistency_proofs_of_the_rfc_have_its_nodes() -> None:
    """RFC 6962 section 2.1.3: with seven leaves, from 3, 4 and 6."""
    asked: list[tuple[int, int]] = []

    def note(begin: int, end: int) -> bytes:
        asked.append((begin, end))
        return bytes(32)

    nodes = {}
    for old in (3, 4, 6):
        asked.clear()
        consistency_hashes(old, 7, note)
        nodes[old] = sorted(asked)
    assert nodes == {3: [(0, 2), (2, 3), (3, 4), (4, 7)], 4: [(4, 7)], 6: [(0, 4), (4, 6), (6, 7)]}


def test_a_tile_knows_which_leaves_are_below_its_hashes() -> None:
    assert Tile(0, 2, []).first_leaf(5) == 517
    assert Tile(2, 1, []).first_leaf(256) == 2 * 256**3
