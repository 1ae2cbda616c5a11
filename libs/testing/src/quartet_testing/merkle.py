"""Merkle trees as the RFC defines them, for tests: whole trees in memory, recursive, and the verification of proofs."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

REFERENCE_LEAVES = tuple(
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
"""The leaves of the reference trees of certificate-transparency."""
REFERENCE_ROOTS = tuple(
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
)
"""The roots of the trees over the first 0 to 8 of them."""


def hashed_leaf(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf) (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + leaf).digest()


def hashed_pair(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right) (RFC 6962 section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def _smaller_power(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


class WholeTree:
    """The tree over `leaf_hashes`: MTH, PATH and PROOF of RFC 6962 section 2.1 as written there."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.leaf_hashes = tuple(leaf_hashes)
        self._root = lru_cache(maxsize=None)(self._compute)

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> "WholeTree":
        """The tree over `leaves`."""
        return cls([hashed_leaf(leaf) for leaf in leaves])

    def root(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        return self._root(start, end)

    def _compute(self, start: int, end: int) -> bytes:
        if start == end:
            return sha256(b"").digest()
        if end - start == 1:
            return self.leaf_hashes[start]
        k = _smaller_power(end - start)
        return hashed_pair(self.root(start, start + k), self.root(start + k, end))

    def path(self, m: int, start: int, end: int) -> list[bytes]:
        """PATH(m, D[start:end])."""
        if end - start == 1:
            return []
        k = _smaller_power(end - start)
        if m < k:
            return [*self.path(m, start, start + k), self.root(start + k, end)]
        return [*self.path(m - k, start + k, end), self.root(start, start + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[0:n])."""
        return self._subproof(m, 0, n, whole=True)

    def _subproof(self, m: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if m == end - start:
            return [] if whole else [self.root(start, end)]
        k = _smaller_power(end - start)
        if m <= k:
            return [*self._subproof(m, start, start + k, whole=whole), self.root(start + k, end)]
        return [*self._subproof(m - k, start + k, end, whole=False), self.root(start, start + k)]


def proven_root(index: int, size: int, leaf_hash: bytes, hashes: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2); None for a proof of another length."""
    if not 0 <= index < size:
        return None
    fn, sn, root = index, size - 1, leaf_hash
    for one in hashes:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            root = hashed_pair(one, root)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = hashed_pair(root, one)
        fn, sn = fn >> 1, sn >> 1
    return root if sn == 0 else None


def is_consistent(first: int, second: int, roots: tuple[bytes, bytes], hashes: Sequence[bytes]) -> bool:
    """Whether a proof shows that the tree of `second` leaves extends that of `first` (RFC 9162 section 2.1.4.2).

    `roots` are those of the two trees.
    """
    if first == second:
        return not hashes and roots[0] == roots[1]
    if first == 0:
        return not hashes
    path = [roots[0], *hashes] if first & (first - 1) == 0 else list(hashes)
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for one in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = hashed_pair(one, fr), hashed_pair(one, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = hashed_pair(sr, one)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (fr, sr) == roots
