"""The tree of a bundle: puts leaf hashes in their places, and compares tiles, root and checkpoints that were seen."""

from collections.abc import Sequence
from typing import Final

from quartet_audit_verifier.encoding import HASH_BYTES
from quartet_audit_verifier.findings import LIMIT, Findings
from quartet_audit_verifier.gaps import Gaps
from quartet_audit_verifier.merkle import TILE_WIDTH, Tile, Tree, root_of
from quartet_audit_verifier.notes import Checkpoint
from quartet_audit_verifier.seen import SeenCheckpoints

NO_LEAF: Final = bytes(HASH_BYTES)
"""Replaces the hash of a leaf that is missing or cannot be read; no leaf has this hash."""


class LogTree:
    """Two trees of one log, each in constant memory: `computed` from the leaves, `stored` from the tiles of the bundle.

    Where they differ, the root that is signed shows which of them was changed.
    """

    def __init__(
        self, partial_tiles: Sequence[Sequence[bytes]], size: int, seen: Sequence[Checkpoint], findings: Findings
    ) -> None:
        """`partial_tiles` are those of the tree before the first entry; `size` is that of the checkpoint to come."""
        self.computed = Tree(partial_tiles)
        self.stored = Tree([list(hashes) for hashes in partial_tiles[1:]])
        self.size = size
        self.tiles = 0
        """Tiles that were read."""
        self.findings = findings
        self.gaps = Gaps()
        self.seen = SeenCheckpoints(seen, self.computed.size)
        self._expected: list[Tile] = []
        self._stored_tiles: dict[tuple[int, int], list[bytes]] = {}
        self._differences: list[tuple[Tile, int]] = []
        self._difference_count = 0
        self.is_whole = False
        """Whether the leaves give the root of the checkpoint."""
        self._compare_seen()

    def add(self, sequence: int, leaf: bytes | None) -> Sequence[Tile]:
        """Put the hash of a leaf in its place (None: it cannot be read); returns the tiles that are full now."""
        if self._expected:
            self._report_missing_tiles()
        expected = self.computed.size
        if sequence == expected:
            return self._append(leaf or NO_LEAF)
        if sequence >= self.size:
            text = f"Entry {sequence} is not below the size of the bundle, {self.size}."
            self.findings.add("out_of_order", text, sequence)
        elif sequence > expected:
            return [*self._fill(sequence), *self._append(leaf or NO_LEAF)]
        elif self.gaps.take(sequence):
            self.findings.add("out_of_order", f"Entry {sequence} comes after entry {expected - 1}.", sequence)
            self.computed.replace(sequence, leaf or NO_LEAF)
        else:
            self.findings.add("out_of_order", f"Entry {sequence} comes again after entry {expected - 1}.", sequence)
        return ()

    def start_piece(self, size: int) -> None:
        """Go on with the next piece of the bundle, whose checkpoint has `size`.

        The tiles that the piece before did not get to are not looked for.
        """
        self.size = size
        for tile in self._expected:
            if tile.level == 0:
                self._store(root_of(tile.hashes))
        self._expected = []

    def check_tile(self, tile: Tile) -> None:
        """Compare a tile of the bundle with the leaves before it."""
        end = tile.first_leaf(TILE_WIDTH)
        if not self._expected and self.computed.size < end <= self.size:
            self._fill(end)
        known = [each.place for each in self._expected]
        if tile.place not in known:
            self.findings.add("tile", f"Tile {tile.name} is not expected after entry {self.computed.size - 1}.")
            return
        if tile.place != known[0]:
            self._report_missing_tiles(known.index(tile.place))
        self.tiles += 1
        self._compare_tile(self._expected.pop(0), tile)

    def finish(self, checkpoint: Checkpoint) -> None:
        """Compare with the checkpoint of the bundle: missing entries, tiles, root, checkpoints that were seen."""
        self._report_missing_tiles()
        if self.computed.size < checkpoint.size == self.size:
            self._fill(self.size)
            self._report_missing_tiles()
        self.report_gaps()
        computed, stored = self.computed.root(), self.stored.root(self.computed.tail())
        is_whole = self.is_whole = self.computed.size == checkpoint.size and computed == checkpoint.root
        is_stored = self.computed.size == checkpoint.size and stored == checkpoint.root
        self._report_differences(is_whole=is_whole, is_stored=is_stored)
        if not is_whole:
            self._report_root(checkpoint, computed, is_stored=is_stored)
        self.seen.report(checkpoint, self.findings, is_stored=is_stored and not is_whole)

    def report_gaps(self) -> None:
        """Report the entries that are missing so far."""
        for begin, end in self.gaps.ranges:
            what = f"Entry {begin} is" if end == begin + 1 else f"Entries {begin} to {end - 1} are"
            self.findings.add("missing", f"{what} missing.", begin)

    def _append(self, leaf: bytes) -> Sequence[Tile]:
        tiles = self.computed.append(leaf)
        if tiles:
            self._expected.extend(tiles)
        if self.computed.size == self.seen.next_size:
            self._compare_seen()
        return tiles

    def _fill(self, end: int) -> list[Tile]:
        """Go on to `end`, for entries that are missing."""
        self.gaps.add(self.computed.size, end)
        full: list[Tile] = []
        while self.computed.size < end:
            if self._expected:
                self._report_missing_tiles()
            full = list(self._append(NO_LEAF))
        return full

    def _compare_seen(self) -> None:
        self.seen.compare(self.computed.size, self.computed.root(), self.stored.root(self.computed.tail()))

    def _report_missing_tiles(self, count: int | None = None) -> None:
        missing = self._expected[:count]
        del self._expected[:count]
        for tile in missing:
            text = f"Tile {tile.name} is missing."
            self.findings.add("tile", text, tile.first_leaf(0))
            if tile.level == 0:
                self._store(root_of(tile.hashes))

    def _store(self, root: bytes) -> None:
        self._stored_tiles = {(tile.level + 1, tile.index): tile.hashes for tile in self.stored.append(root)}

    def _compare_tile(self, computed: Tile, tile: Tile) -> None:
        if tile.level == 0:
            self._store(root_of(tile.hashes))
        if tile.hashes == computed.hashes:
            return
        stored = self._stored_tiles.get(tile.place, computed.hashes)
        for position, found in enumerate(tile.hashes):
            if found in (computed.hashes[position], stored[position]):
                continue
            if tile.level == 0 and computed.hashes[position] == NO_LEAF:
                continue
            self._difference_count += 1
            if len(self._differences) < LIMIT:
                self._differences.append((tile, position))

    def _report_differences(self, *, is_whole: bool, is_stored: bool) -> None:
        for tile, position in self._differences:
            first = tile.first_leaf(position)
            if tile.level > 0:
                end = tile.first_leaf(position + 1) - 1
                text = f"Tile {tile.name} has another hash for entries {first} to {end} than the tiles below it give."
                self.findings.add("tile", text, first)
            elif is_stored and not is_whole:
                text = f"The leaf of entry {first} was changed: tile {tile.name}, which was signed, has another hash."
                self.findings.add("leaf", text, first)
            elif is_whole:
                text = f"Tile {tile.name} was changed: its hash of entry {first} is not that of the signed leaf."
                self.findings.add("tile", text, first)
            else:
                text = f"Tile {tile.name} has another hash for entry {first} than its leaf: one of them was changed."
                self.findings.add("leaf", text, first)
        for _ in range(len(self._differences), self._difference_count):
            self.findings.add("leaf", "More leaves differ from their tiles.")

    def _report_root(self, checkpoint: Checkpoint, computed: bytes, *, is_stored: bool) -> None:
        text = (
            f"The leaves give the root hash {computed.hex()}, and the checkpoint of size {checkpoint.size} "
            f"has {checkpoint.root.hex()}."
        )
        if is_stored:
            text += " The tiles do give it: only what is named here was changed."
        self.findings.add("root", text)
